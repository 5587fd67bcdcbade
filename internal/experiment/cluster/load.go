package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/workload"
)

// A load is what a node is asked for: fetches that begin by the clock, whether or not the ones
// before have ended.
type load struct {
	c       nodeConfig
	keys    workload.Source
	running context.Context // ends when no more fetches are to begin
	stop    context.CancelFunc

	mu      sync.Mutex // guards what follows
	beat    time.Time  // when the process was last seen to run
	resumed time.Time  // when it ran again after it was stopped
	next    nodeReport
}

// stall is the shortest time without running that counts as a stop.
const stall = 400 * time.Millisecond

func newLoad(c nodeConfig) (*load, error) {
	keys, err := workload.NewSpace(workload.SpaceConfig{Keys: c.Keys, Count: uint64(c.KeyCount),
		Seed: c.Seed}) //nolint:gosec // not negative
	if err != nil {
		return nil, err
	}
	source := keys.Source(uint64(c.Index)) //nolint:gosec // not negative
	l := &load{c: c, keys: source, beat: time.Now()}
	l.running, l.stop = context.WithCancel(context.Background())
	return l, nil
}

// run begins the fetches of a load that began at a time, and returns when they have ended.
func (l *load) run(
	ctx context.Context, begin time.Time, fetch func(context.Context, string) ([]byte, error),
) {
	clock := pace.Clock{Zero: begin}
	var fetches sync.WaitGroup
	// A node that joins late takes up the load where it is.
	for due := range clock.Open(l.running, l.c.Rate, clock.Now(), l.c.Duration) {
		key, _ := l.keys.Next() // they never end
		if l.missed(begin.Add(due)) {
			l.count(func(r *nodeReport) { r.Missed++ })
			continue // its callers were stopped with the process
		}
		l.count(func(r *nodeReport) { r.Begun++ })
		fetches.Go(func() { l.one(ctx, begin, due, int(key), fetch) }) //nolint:gosec // below KeyCount
	}
	fetches.Wait()
	l.count(func(r *nodeReport) { r.Done = true })
}

// missed notes that the process runs, and reports whether it was stopped after a time.
func (l *load) missed(from time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.beat) > stall && l.next.Begun > 0 {
		l.resumed = now
	}
	l.beat = now
	return l.resumed.After(from)
}

func (l *load) count(f func(*nodeReport)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.next)
}

// one makes a fetch, and notes what came of it.
func (l *load) one(
	ctx context.Context, begin time.Time, due time.Duration, key int,
	fetch func(context.Context, string) ([]byte, error),
) {
	from := begin.Add(due)
	ctx, cancel := context.WithDeadline(ctx, from.Add(l.c.Timeout))
	defer cancel()
	began := time.Now()
	value, err := fetch(ctx, keyName(key))
	took := time.Since(from)
	missed := l.missed(from)
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.next
	if err != nil && ctx.Err() != nil {
		r.LetDown = append(r.LetDown, record{Due: due, Key: key})
	}
	if missed {
		r.Missed++
		r.Begun--
		return
	}
	one := record{Due: due, Latency: took, Key: key}
	if took > l.c.Timeout+tolerance {
		r.Late++
	}
	switch {
	case err == nil:
		name, version, received, ok := readValue(value)
		one.Version = version
		if !ok || name != keyName(key) {
			r.Wrong++
		} else if l.c.TTL > 0 && began.Sub(received) > l.c.TTL+staleTolerance {
			r.Stale++
		}
	case errors.As(err, new(*cluster.QuarantineError)):
		one.Error = errorQuarantined
	case errors.Is(err, errOrigin):
		one.Error = errorLoad
	case errors.Is(err, courier.ErrOverloaded):
		one.Error = errorOverloaded
	case errors.Is(err, context.DeadlineExceeded):
		one.Error = errorDeadline
	default:
		one.Error = errorOther
		if r.Failure == "" {
			r.Failure = fmt.Sprintf("%s at %v: %v", l.c.Name, due.Round(time.Millisecond), err)
		}
	}
	r.Ended = append(r.Ended, one)
}

// staleTolerance is for the way of a value from the end of its load to the cache: its TTL begins
// there.
const staleTolerance = 250 * time.Millisecond

// report returns what has happened since the last one.
func (l *load) report() nodeReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.next
	l.next.Ended, l.next.Views, l.next.LetDown, l.next.GivenUp = nil, nil, nil, nil
	return r
}
