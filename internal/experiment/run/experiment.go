package run

import (
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/lab/traffic"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/workload"
)

// Params are the parameters of the experiment.
type Params struct {
	Seed     uint64        `name:"seed" help:"settles all that is random"`
	Duration time.Duration `name:"duration" above:"0s" max:"24h" help:"how long to measure"`
	Until    time.Duration `name:"until" min:"0s" zero:"at the end" more:"1" help:"when operations end, before --duration; the process is looked at until then"`
	Warmup   time.Duration `name:"warmup" min:"0s" max:"24h" more:"1" help:"run for this long before measuring"`
	Workers  int           `name:"workers" min:"1" max:"100000" help:"goroutines that run operations"`
	Rate     float64       `name:"rate" kind:"per-second" min:"0" zero:"all they can" help:"operations per second"`
	Timeout  time.Duration `name:"timeout" above:"0s" max:"24h" help:"a read's own deadline"`
	Batch    int           `name:"batch" min:"1" max:"100000" more:"1" help:"keys that a read asks for at once"`
	Mix      workload.Mix  `name:"mix" kind:"weights" help:"operations"`
	traffic.Keys
	Loop bool `name:"loop" more:"1" help:"begin the trace again when it ends; needs --duration"`
	traffic.Cache
	MaxBytes params.Bytes `name:"max-bytes" kind:"size" more:"1" help:"bytes of values that the cache holds, such as 64MiB; without --capacity, instead of it"`
	Unlinked bool         `name:"unlinked" help:"switch the courier's fix off"`
	traffic.Origin
	traffic.Fault
	SampleHits  int     `name:"sample-hits" min:"1" more:"1" help:"time one hit in so many (closed loop)"`
	CompareLRU  bool    `name:"compare-lru" help:"print the hit ratio of golang-lru, too"`
	MinHitRatio float64 `name:"min-hit-ratio" kind:"share" min:"0" max:"1" help:"fail if the hit ratio is below this"`

	// spin is for how long before an operation is due a worker waits for it awake, yielding to all
	// others: a sleeping program wakes up to a millisecond late. 0 in a test with a false clock.
	spin time.Duration
	// bytesAlone says that nothing bounds the number of entries.
	bytesAlone bool
}

// Experiment is "cachebench run".
var Experiment = &lab.Experiment[Params, Result]{
	Name:  "run",
	Short: "Run load on an embedded cache and measure it",
	Long: `Run makes a cache and a simulated origin, lets workers read, write and delete, and
prints throughput, hit ratio, origin loads and latencies.`,
	Example: `  cachebench run --keys zipf:1.2 --key-count 1000000 --capacity 100000
  cachebench run --rate 5000 --workers 64 --fault hang --out out/hang
  cachebench run --trace testdata/traces/small.arc --capacity 500 --compare-lru`,
	Topics: []lab.Topic{
		{Name: "outcomes", Short: "what a read turns out to be, batches", Text: outcomesText},
		{Name: "loops", Short: "closed and open loop, cost of measuring", Text: loopsText},
		{Name: "traces", Short: "how a trace is replayed", Text: tracesText},
		{Name: "faults", Short: "which loads fail, and when", Text: faultsText},
		{Name: "rows", Short: "what the rows of the tables say",
			Text: lab.Glossaries(glossary())},
	},
	Defaults: func() Params {
		return Params{
			Seed: 1, Duration: usual, Workers: 16, Timeout: 2 * time.Second, Batch: 1, SampleHits: 1,
			Mix:  workload.Mix{Read: 95, Write: 4, Delete: 1},
			Keys: traffic.Keys{Law: workload.KeySpec{Skew: 1.01}, Count: 100_000},
			Cache: traffic.Cache{Capacity: 10_000, TTL: time.Minute, Jitter: 0.1,
				SoftTimeout: 50 * time.Millisecond, FetchTimeout: time.Second},
			Origin: traffic.Lognormal(2*time.Millisecond, 20*time.Millisecond),
			Fault: traffic.Fault{Keys: 5, Rate: 1, Slow: time.Second,
				Window: lab.Window{Start: usual / 5, End: usual / 2}},
			spin: 1200 * time.Microsecond,
		}
	},
	Complete:      (*Params).complete,
	Rules:         (*Params).rules,
	Run:           Execute,
	Shows:         true,
	Page:          page,
	AlwaysChecked: true, // there is a check with --min-hit-ratio alone
}

const usual = 10 * time.Second

const outcomesText = `
A read is one Cache.Fetch. It turns out to be a
  hit      the value was there
  loaded   the fetch function of this very call ran, and gave the value
  joined   the value came from a load that another call had started
  stale    no load brought a fresh value in time, and the last good one was
           given (--stale-for)
  error    Fetch returned an error, no matter which call had started the load

How that is found out without disturbing what is measured: a hit does not look at its
context, and a fetch function is given values of the context of the call that started
it. So each call brings a context that notices.

With --batch N a read asks for N keys with one Cache.FetchMany, and is one operation: a
hit if all of them were there, loaded if its own fetch function ran, joined if it
waited for others' loads alone, and an error if one of its keys has one. Its latency is
that of each of its keys, since they come together. A table says what became of the
keys; the hit ratio and the errors are those of keys. The origin is asked once for what
is missing, and takes as long as for the slowest of the keys; --fault error fails its
keys alone, and any other fault the whole load. Writes and deletes are of one key in
any case.`

const loopsText = `
Without --rate each worker starts its next operation when it is done with the last
(closed loop). That measures how much the cache can do. It does not show how long
clients would wait: while a worker is stuck, the operations that would have come
meanwhile are not made, and so not counted as slow (coordinated omission).

With --rate, operations are due at fixed times whatever becomes of those before them
(open loop); any free worker takes the next one, and its latency counts from when it
was due, so that time spent waiting for a worker is part of it. "Started late" is that
part by itself, and operations that were due but never begun are counted.

What measuring costs is printed with the result: two readings of the clock and an entry
in a histogram per operation. With --sample-hits N only one hit in N is timed; all
other operations always are.`

const tracesText = `
--trace replays a file once, from its beginning to its end, unless --duration ends it
before; --loop begins it again, for --duration. With one worker the order is exactly
the trace's. Unless flags or a scenario say otherwise a trace is replayed by one worker,
as reads, without a TTL, from an origin that answers at once: what is left is the hit
ratio. The format is guessed from the first lines; --trace-format gives it.`

const faultsText = `
Faults strike the loads of the most popular keys (--fault-keys, --fault-share) within a
window that counts from the end of the warm-up. Without --start and --end that is from
20 % to 50 % of the duration, or a trace's whole replay.`

func (p *Params) complete(s *params.Set) {
	if p.Trace != "" {
		p.replay(s)
	}
	p.Fault.Complete(&p.Keys, s)
	start, end := p.Duration/5, p.Duration/2
	if p.Trace != "" {
		start, end = 0, p.Duration
	}
	orElse(s, "start", &p.Start, start)
	orElse(s, "end", &p.End, max(end, min(p.Start+end-start, p.Duration)))
	p.bytesAlone = p.MaxBytes > 0 && !s.Given("capacity")
}

// replay gives the parameters the values with which a trace shows its hit ratio.
func (p *Params) replay(s *params.Set) {
	orElse(s, "duration", &p.Duration, 24*time.Hour)
	orElse(s, "workers", &p.Workers, 1)
	orElse(s, "mix", &p.Mix, workload.Mix{Read: 100})
	orElse(s, "ttl", &p.TTL, 0)
	orElse(s, "jitter", &p.Jitter, 0)
	orElse(s, "origin-latency", &p.Latency, workload.Latency{})
}

// orElse sets a field that was not given.
func orElse[T any](s *params.Set, name string, field *T, value T) {
	if !s.Given(name) {
		*field = value
	}
}

func (p *Params) rules(c *params.Checker) {
	p.Keys.Check(c)
	p.Cache.Check(c)
	if p.Fault.Kind != origin.FaultNone {
		p.Fault.Check(c, &p.Keys, p.Duration, 0)
	}
	c.Unused(p.Fault.Kind == origin.FaultNone, "no load fails without --fault",
		"fault-keys", "fault-share", "fault-rate", "fault-slow", "start", "end")
	c.Unused(p.Trace == "", "there is no --trace", "loop")
	c.Unused(p.Mix.Read == 0, "nothing is read", "batch")
	c.Unused(p.StaleFor == 0, "no read can have a stale value without --stale-for", "soft-timeout")
	c.Unused(p.Unlinked, "with --unlinked loads have no time-out", "fetch-timeout")
	c.Unused(p.bytesAlone, "--max-bytes is the limit", "capacity")
	c.Unused(p.Rate > 0, "in an open loop (--rate) all are timed", "sample-hits")
	c.Unused(p.Batch > 1, "of batches (--batch) all are timed", "sample-hits")
	c.Check(p.Until <= p.Duration, "until", "must be at most %s (%v), got %v", c.Call("duration"),
		p.Duration, p.Until)
	c.Check(p.Trace == "" || !p.Loop || c.Given("duration"), "loop",
		"must have a --duration, since the replay would never end")
	if p.CompareLRU {
		const alone = "must not be given with %s"
		c.Check(p.MaxBytes == 0, "compare-lru", alone, "--max-bytes: golang-lru has no such limit")
		c.Check(p.Mix.Write+p.Mix.Delete == 0, "compare-lru", alone,
			"a --mix other than read:100: golang-lru is asked for reads")
		c.Check(p.Batch == 1, "compare-lru", alone, "--batch: golang-lru is asked for one key at a time")
		c.Check(p.Trace != "" || p.Workers == 1, "compare-lru", alone,
			"--workers other than 1, but for a trace: the keys must come in one order")
	}
}

// options returns the options of the cache.
func (p *Params) options() cache.Options[uint64, []byte] {
	o := p.Cache.Options()
	if p.Unlinked {
		o.Courier = append(o.Courier, courier.WithUnlinked())
	}
	if p.MaxBytes > 0 {
		o.MaxWeight = uint64(p.MaxBytes)
		//nolint:gosec // at most workload.MaxSize
		o.Weigher = func(_ uint64, value []byte) uint32 { return uint32(len(value)) }
	}
	if p.bytesAlone {
		o.Capacity = 0
	}
	return o
}

// backend returns the origin, and the part of all requests that are for keys which can fail.
func (p *Params) backend() (c origin.Config, share float64, err error) {
	c = p.Origin.Config(p.Seed)
	if p.Fault.Kind == origin.FaultNone {
		return c, 0, nil
	}
	space, err := p.space()
	if err != nil {
		return c, 0, err
	}
	keys, share, err := p.Targets(space)
	if err != nil {
		return c, 0, err
	}
	c.Fault, err = p.Fault.Of(keys)
	return c, share, err
}

// space returns the keys from their beginning.
func (p *Params) space() (*workload.Space, error) { return p.Space(p.Seed, p.Loop) }

// keysText says which keys are asked for.
func (p *Params) keysText() string {
	if t := p.Replay; t != nil {
		return fmt.Sprintf("%s: %s requests for %s keys", t.Name, human.Count(t.Len()),
			human.Count(len(t.Keys)))
	}
	return fmt.Sprintf("%s over %s keys", p.Law, human.Count(p.Count))
}
