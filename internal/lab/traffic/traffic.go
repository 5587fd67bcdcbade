// Package traffic holds the parameters that experiments with one cache share: which keys are asked
// for, the cache, its origin, and what goes wrong with loads.
package traffic

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/trace"
	"github.com/snowfence/snowfence/internal/workload"
)

// Keys says which keys are asked for.
type Keys struct {
	Law      workload.KeySpec `name:"keys" kind:"law" suggest:"zipf:1.01,uniform,scan,zipf-scan:1.01" help:"zipf:SKEW, uniform, scan, zipf-scan:SKEW"`
	Count    uint64           `name:"key-count" min:"1" max:"1099511627776" help:"how many keys there are"`
	Scramble bool             `name:"scramble" more:"1" help:"scatter the popular keys over the range; otherwise key 0 is the most popular, key 1 the next"`
	Trace    string           `name:"trace" kind:"file" file:"" help:"ask for the keys of this trace instead"`
	Format   trace.Format     `name:"trace-format" kind:"format" choices:"auto,arc,keys,csv" more:"1" help:"auto, arc (start count - -), keys (one per line) or csv"`
	Column   string           `name:"trace-column" kind:"column" more:"1" help:"the key column of a CSV trace, by name or number"`

	// Replay is the requests of Trace, which Check reads. Nil: there is no trace.
	Replay *trace.Trace
}

// Check holds the keys to their rules, and reads the trace if there is one.
func (k *Keys) Check(c *params.Checker) {
	c.Unused(k.Trace != "", "a trace has keys of its own", "keys", "key-count", "scramble")
	c.Unused(k.Trace == "", "there is no --trace", "trace-format", "trace-column")
	if k.Trace == "" {
		return
	}
	if k.Column != "" && k.Format != trace.Auto && k.Format != trace.CSV {
		c.Check(false, "trace-column", "only --trace-format csv has columns, not %s", k.Format)
		return
	}
	var err error
	k.Replay, err = trace.Load(k.Trace, trace.Options{Format: k.Format, Column: k.Column})
	if missing := (*fs.PathError)(nil); errors.As(err, &missing) {
		err = fmt.Errorf("%s: %w", k.Trace, missing.Err)
	}
	c.Check(err == nil, "trace", "%v", err) // with the file's name, and the line if that is wrong
}

// Size returns the number of keys.
func (k *Keys) Size() uint64 {
	if k.Replay != nil {
		return uint64(len(k.Replay.Keys))
	}
	return k.Count
}

// Space returns the keys from their beginning. A trace starts again when it ends if loop is set.
func (k *Keys) Space(seed uint64, loop bool) (*workload.Space, error) {
	if k.Replay != nil {
		return workload.NewSpace(workload.SpaceConfig{
			Keys: workload.KeySpec{Kind: workload.KindTrace}, Seed: seed, Trace: k.Replay.IDs, Loop: loop,
		})
	}
	return workload.NewSpace(workload.SpaceConfig{Keys: k.Law, Count: k.Count, Seed: seed,
		Scramble: k.Scramble})
}

// alike reports whether all keys are asked for as often.
func (k *Keys) alike() bool {
	return k.Trace == "" && (k.Law.Kind == workload.KindUniform || k.Law.Kind == workload.KindScan)
}

// Cache is the options of the cache under test.
type Cache struct {
	Capacity         int           `name:"capacity" min:"1" help:"entries that the cache holds"`
	TTL              time.Duration `name:"ttl" min:"0s" zero:"for ever" help:"how long an entry lives"`
	Jitter           float64       `name:"jitter" kind:"share" min:"0" below:"1" more:"1" help:"the share of the TTL of which a random part is taken off"`
	RefreshAt        float64       `name:"refresh-at" kind:"share" min:"0" below:"1" zero:"never" more:"1" help:"load an entry that is asked for anew in the background from this share of its TTL on, such as 0.8"`
	StaleFor         time.Duration `name:"stale-for" min:"0s" zero:"never, but with snowball --stale as long as a run takes" more:"1" help:"give values for so long past their TTL if a load fails or is late"`
	SoftTimeout      time.Duration `name:"soft-timeout" min:"0s" zero:"until it ends" more:"1" help:"how long a caller that can have a stale value waits for a load"`
	FetchTimeout     time.Duration `name:"fetch-timeout" min:"0s" zero:"none" help:"time-out of a load"`
	MaxConcurrent    int           `name:"max-concurrent" min:"0" zero:"no limit" more:"1" help:"loads at a time"`
	MaxWaitingPerKey int           `name:"max-waiting-per-key" kind:"n" min:"0" zero:"no limit" more:"1" help:"refuse callers at once where so many wait for the load already"`
}

// Check holds the options to the rules that all caches have.
func (o *Cache) Check(c *params.Checker) {
	if o.TTL == 0 {
		const reason = "must be 0 without %s: no entry ever expires"
		c.Check(o.StaleFor == 0, "stale-for", reason, c.Call("ttl"))
		c.Check(o.RefreshAt == 0, "refresh-at", reason, c.Call("ttl"))
	}
	c.Unused(o.TTL == 0 && o.Jitter > 0, "without a TTL there is nothing to vary", "jitter")
}

// Options returns what package cache is given.
func (o *Cache) Options() cache.Options[uint64, []byte] {
	all := cache.Options[uint64, []byte]{
		Capacity: o.Capacity, TTL: o.TTL, TTLJitter: o.Jitter, RefreshAt: o.RefreshAt,
		StaleFor: o.StaleFor,
		Courier: []courier.Option{
			courier.WithTimeout(o.FetchTimeout), courier.WithMaxConcurrent(o.MaxConcurrent),
			courier.WithMaxWaitingPerKey(o.MaxWaitingPerKey),
		},
	}
	if o.StaleFor > 0 {
		all.SoftTimeout = o.SoftTimeout
	}
	return all
}

// Origin says what the backend is like.
type Origin struct {
	Latency     workload.Latency `name:"origin-latency" kind:"latency" help:"how long a load takes"`
	Concurrency int              `name:"origin-concurrency" min:"0" zero:"no limit" more:"1" help:"loads that the origin serves at a time"`
	ValueSize   workload.Size    `name:"value-size" kind:"size" more:"1" help:"sizes of values: 100B, uniform:A..B or lognormal:MEDIAN,P99[,LARGEST]"`
}

// Config returns what package origin is given.
func (o *Origin) Config(seed uint64) origin.Config {
	return origin.Config{Latency: o.Latency, Concurrency: o.Concurrency, Size: o.ValueSize,
		Seed: seed, Go: courier.Go}
}

// Fault says how loads fail, of which keys, and when.
type Fault struct {
	Kind  origin.FaultKind `name:"fault" kind:"kind" choices:"panic,goexit,error,hang,child,slow,none" help:"how loads fail: panic, goexit, error, hang, child, slow or none"`
	Keys  int              `name:"fault-keys" min:"1" help:"how many keys fail"`
	Share float64          `name:"fault-share" kind:"share" min:"0" max:"1" zero:"the most popular" more:"1" help:"fail neighbours in popularity that get this part of all requests"`
	Rate  float64          `name:"fault-rate" kind:"share" min:"0" max:"1" help:"the part of their loads that fail"`
	Slow  time.Duration    `name:"fault-slow" above:"0s" more:"1" help:"of slow: how much longer a load takes"`
	lab.Window
}

// Complete drops the share of all requests that keys get by default where all keys are alike.
func (f *Fault) Complete(k *Keys, s *params.Set) {
	if k.alike() && !s.Given("fault-share") {
		f.Share = 0
	}
}

// Check holds the fault to its rules. Its window has a length of least, at the least.
func (f *Fault) Check(c *params.Checker, k *Keys, duration, least time.Duration) {
	c.Unused(f.Kind != origin.FaultSlow, "only loads of --fault slow are slow", "fault-slow")
	f.Window.Check(c, duration, least)
	if k.Replay != nil {
		c.Check(uint64(f.Keys) <= k.Size(), "fault-keys", //nolint:gosec // at least 1
			"must be at most %d, which is all keys of the trace, got %d", k.Size(), f.Keys)
	} else {
		c.Check(uint64(f.Keys) <= k.Size(), "fault-keys", //nolint:gosec // at least 1
			"must be at most %s (%d), got %d", c.Call("key-count"), k.Size(), f.Keys)
	}
	c.Check(!k.alike() || f.Share == 0, "fault-share",
		"must be 0 for %s keys (%s), which are all alike, got %v", k.Law.Kind, c.Call("keys"), f.Share)
}

// Of returns the fault of an origin that strikes the loads of keys, see [Fault.Targets].
func (f *Fault) Of(keys []uint64) (origin.Fault, error) {
	match, err := origin.OneOf(keys)
	return origin.Fault{Kind: f.Kind, Match: match, Rate: f.Rate, Start: f.Start, End: f.End,
		Slow: f.Slow}, err
}

// Targets returns the keys that can fail, and the part of all requests that is for them.
func (f *Fault) Targets(space *workload.Space) (keys []uint64, share float64, err error) {
	return space.Targets(f.Keys, f.Share)
}

// Lognormal returns an origin with these latencies, by their median and 99th percentile, and
// values of a few hundred bytes. It panics if there is no such distribution.
func Lognormal(median, p99 time.Duration) Origin {
	latency, err := workload.LognormalLatency(median, p99)
	size, err2 := workload.LognormalSize(256, 4096, 0)
	if err := errors.Join(err, err2); err != nil {
		panic(err)
	}
	return Origin{Latency: latency, ValueSize: size}
}
