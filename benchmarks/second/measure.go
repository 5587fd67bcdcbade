package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/internal/workload"
	"github.com/valkey-io/valkey-go"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// A load says what a process does.
type load struct {
	Addr   string        `json:"addr"` // of the server
	Keys   int           `json:"keys"`
	Window time.Duration `json:"window_ns"`
}

// What is the same in each run.
const (
	callers       = 64     // goroutines
	smallCapacity = 1000   // of a cache that misses
	hotKeys       = 10_000 // of the hits, or fewer if there are fewer keys
	hotSkew       = 1.0    // of their zipf distribution
	batchKeys     = 50
	batchCallers  = 16

	herds       = 20 // keys that a herd asks for
	herdCallers = 100
	herdCaches  = 4 // that share a herd; each stands for a process
	herdDelay   = 10 * time.Millisecond
)

// A result holds what one process has measured: one library.
type result struct {
	Round   int    `json:"round"`
	Library string `json:"library"`

	// Hit: the value is in the process. Second: it is on the server alone, as after a deploy.
	// Batch: so are many values, and an operation is one key of a batch; P99 is that of a batch.
	// Load: the value is nowhere. It is loaded from an origin without delay, and written.
	Hit    measured  `json:"hit"`
	Second measured  `json:"second"`
	Batch  *measured `json:"batch"` // nil: the library has no such call
	Load   measured  `json:"load"`

	// A herd of callers asks for a key that is nowhere, through one cache and through several.
	Herd       herd `json:"herd"`
	SharedHerd herd `json:"shared_herd"`
}

// measured holds the costs of an operation, in seconds.
type measured struct {
	Time      float64 `json:"time"` // the inverse of the throughput
	P99       float64 `json:"p99"`
	CPU       float64 `json:"cpu"` // of the process
	ServerCPU float64 `json:"server_cpu"`
	Origin    float64 `json:"origin"` // keys that the origin was asked for
}

// A herd holds means of several herds.
type herd struct {
	Loads float64 `json:"loads"` // calls of the origin
	Time  float64 `json:"time"`  // until the last caller has its value, in seconds
}

// A bench measures one library.
type bench struct {
	load

	library library
	server  valkey.Client // only to ask for its processor time
	keys    []string
	opened  int // caches so far
}

func measure(ctx context.Context, l library, w load) (*result, error) {
	if w.Keys < 1000 {
		return nil, fmt.Errorf("%w: %d keys: want 1000 or more", cli.ErrUsage, w.Keys)
	}
	server, err := valkey.NewClient(valkey.ClientOption{
		InitAddress: []string{w.Addr}, DisableCache: true, ForceSingleClient: true,
	})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	b := &bench{load: w, library: l, server: server, keys: make([]string, w.Keys)}
	for i := range b.keys {
		b.keys[i] = "row-" + strconv.Itoa(1_000_000+i)
	}
	r := &result{Library: l.name}
	for _, step := range []func(context.Context, *result) error{
		b.loads, b.seconds, b.hits, b.herds,
	} {
		if err := step(ctx, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// with calls f with a new cache, which is connected.
func (b *bench) with(
	ctx context.Context, capacity int, f func(s *subject, o *origin) error,
) error {
	o := &origin{}
	s, err := b.open(ctx, capacity, o)
	if err != nil {
		return err
	}
	return errors.Join(f(s, o), s.close())
}

// open makes a cache, and reads a key of no other use, so that it has its connections.
func (b *bench) open(ctx context.Context, capacity int, o *origin) (*subject, error) {
	s, err := b.library.make(options{addr: b.Addr, capacity: capacity, origin: o})
	if err != nil {
		return nil, err
	}
	b.opened++
	if err := b.read(ctx, s, fmt.Sprint("first-", b.opened)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	o.loads.Store(0)
	return s, nil
}

// loads reads each key once. It fills the server, so it comes first. The time includes that of
// writes behind.
func (b *bench) loads(ctx context.Context, r *result) error {
	return b.with(ctx, smallCapacity, func(s *subject, o *origin) (err error) {
		var next atomic.Int64
		r.Load, err = b.timed(ctx, o, 1, callers, func(*rand.Rand) (bool, error) {
			i := int(next.Add(1)) - 1
			if i >= len(b.keys) {
				return false, nil
			}
			return true, b.read(ctx, s, b.keys[i])
		}, s.flush)
		return err
	})
}

// seconds reads keys that are on the server and, most of them, not in the process.
func (b *bench) seconds(ctx context.Context, r *result) error {
	return b.with(ctx, smallCapacity, func(s *subject, o *origin) (err error) {
		one := func(random *rand.Rand) error {
			return b.read(ctx, s, b.keys[random.IntN(len(b.keys))])
		}
		r.Second, err = b.timed(ctx, o, 1, callers, until(b.Window, one), nil)
		if err != nil || s.getMany == nil {
			return err
		}
		many := func(random *rand.Rand) error {
			from := random.IntN(len(b.keys) - batchKeys)
			return readMany(ctx, s, b.keys[from:from+batchKeys])
		}
		batch, err := b.timed(ctx, o, batchKeys, batchCallers, until(b.Window, many), nil)
		r.Batch = &batch
		return err
	})
}

// hits reads keys that are in the process.
func (b *bench) hits(ctx context.Context, r *result) error {
	keys := b.keys[:min(hotKeys, len(b.keys))]
	zipf, err := workload.NewZipf(uint64(len(keys)), hotSkew)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // no secret
	order := make([]string, 1<<16)
	for i := range order {
		order[i] = keys[zipf.Draw(random)]
	}
	return b.with(ctx, 2*len(keys), func(s *subject, o *origin) (err error) {
		for range 2 { // policies may refuse a key that was asked for once
			var next atomic.Int64
			_, err := together(callers, func(*rand.Rand) (bool, error) {
				i := int(next.Add(1)) - 1
				if i >= len(keys) {
					return false, nil
				}
				return true, b.read(ctx, s, keys[i])
			})
			if err != nil {
				return err
			}
		}
		some := func(random *rand.Rand) error {
			from := random.IntN(len(order) - hitsAtOnce)
			for _, key := range order[from : from+hitsAtOnce] {
				if err := b.read(ctx, s, key); err != nil {
					return err
				}
			}
			return nil
		}
		r.Hit, err = b.timed(ctx, o, hitsAtOnce, callers, until(b.Window, some), nil)
		return err
	})
}

// hitsAtOnce is how many hits one operation of hits has, so that the loop around costs nothing.
const hitsAtOnce = 256

// herds lets herds ask for keys, one after the other.
func (b *bench) herds(ctx context.Context, r *result) (err error) {
	if r.Herd, err = b.herd(ctx, 1); err != nil {
		return err
	}
	r.SharedHerd, err = b.herd(ctx, herdCaches)
	return err
}

func (b *bench) herd(ctx context.Context, caches int) (h herd, err error) {
	o := &origin{}
	subjects := make([]*subject, 0, caches)
	defer func() {
		for _, s := range subjects {
			err = errors.Join(err, s.close())
		}
	}()
	for range caches {
		s, err := b.open(ctx, smallCapacity, o)
		if err != nil {
			return h, err
		}
		subjects = append(subjects, s)
	}
	o.delay = herdDelay
	for i := range herds {
		key := fmt.Sprintf("herd-%d-%d", caches, i)
		var next atomic.Int64
		began := time.Now()
		_, err := together(herdCallers, func(*rand.Rand) (bool, error) {
			caller := int(next.Add(1)) - 1
			if caller >= herdCallers {
				return false, nil
			}
			return true, b.read(ctx, subjects[caller%caches], key)
		})
		if err != nil {
			return h, err
		}
		h.Time += time.Since(began).Seconds() / herds
	}
	h.Loads = float64(o.loads.Load()) / herds
	return h, nil
}

// read reads a key, and checks its value.
func (b *bench) read(ctx context.Context, s *subject, key string) error {
	v, err := s.get(ctx, key)
	if err != nil {
		return err
	}
	if len(v) != valueSize || !strings.HasPrefix(v, key) {
		return &wrongValueError{key, v}
	}
	return nil
}

// readMany reads several keys, and checks their values.
func readMany(ctx context.Context, s *subject, keys []string) error {
	values, err := s.getMany(ctx, keys)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if v := values[key]; v != valueOf(key) {
			return &wrongValueError{key, v}
		}
	}
	return nil
}

// A wrongValueError says that a library has returned the value of no or of another key.
type wrongValueError struct{ key, value string }

// Error names the key and the value.
func (e *wrongValueError) Error() string {
	return fmt.Sprintf("%s has the value %q", e.key, e.value)
}
