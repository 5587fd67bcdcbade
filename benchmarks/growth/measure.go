package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/snowfence/snowfence/internal/usage"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// A result holds what one process has measured: one library, with one size. Times are in seconds.
type result struct {
	Round   int    `json:"round"`
	Library string `json:"library"`
	Entries int    `json:"entries"`

	Held     float64 `json:"held"` // entries that were there once the cache was filled
	PerEntry float64 `json:"bytes_per_entry"`

	// A hit and a miss, on the clock and in processor time, which counts the cache's own goroutines
	// and the garbage collector, too.
	Hit     float64 `json:"hit"`
	HitCPU  float64 `json:"hit_cpu"`
	Miss    float64 `json:"miss"`
	MissCPU float64 `json:"miss_cpu"`

	// A garbage collection, from its call to its end and in processor time, and the longest pause
	// since the start of the process.
	GC    float64 `json:"gc"`
	GCCPU float64 `json:"gc_cpu"`
	Pause float64 `json:"pause"`

	Taken uint64 `json:"taken"` // memory that the process has taken from the system, in bytes
}

// The numbers of operations that are measured: less in caches below a few thousand entries.
const (
	mostHits    = 2_000_000
	mostMisses  = 300_000
	collections = 3
)

// measure fills a cache with n entries, and measures it. The keys and values are ints. Its capacity
// is a tenth more than n: libraries that evict entries which would just fit would seem to need less
// memory. For the misses it is filled to its capacity, so that each evicts an entry. One goroutine
// calls the cache.
func measure(l library, n int) (*result, error) {
	if n < 1 {
		return nil, fmt.Errorf("%w: %d entries: want 1 or more", cli.ErrUsage, n)
	}
	r := &result{Library: l.name, Entries: n}
	before := heap()
	capacity := n + n/10
	c, err := l.make(capacity)
	if err != nil {
		return nil, err
	}
	fill := func(from, to int) {
		for key := from; key < to; key++ {
			c.set(key)
			if c.wait != nil && key%1000 == 0 {
				c.wait()
			}
		}
		if c.wait != nil {
			c.wait()
		}
	}
	fill(0, n)
	r.Held = held(c, n)
	if r.Held == 0 {
		return nil, fmt.Errorf("%s holds none of %d entries", l.name, n) //nolint:err113 // for people
	}
	r.PerEntry = float64(heap()-before) / r.Held
	r.collect()

	random := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // no secret
	r.Hit, r.HitCPU, err = timed(min(mostHits, 200*n), func(int) error {
		c.get(random.IntN(n)) // all keys alike, so that a larger cache misses the processor's caches
		return nil
	})
	if err != nil {
		return nil, err
	}
	first := capacity + capacity/100
	fill(n, first)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.Miss, r.MissCPU, err = timed(min(mostMisses, 30*n), func(i int) error {
		return c.fetch(ctx, first+i)
	})
	if err != nil {
		return nil, err
	}
	r.Pause = longestPause()
	r.Taken = taken()
	return r, c.close()
}

// held returns how many of the keys below n are there, judged by some of them.
func held(c *subject, n int) float64 {
	step := max(1, n/100_000)
	looked, found := 0, 0
	for key := 0; key < n; key += step {
		looked++
		if c.get(key) {
			found++
		}
	}
	return float64(n) * float64(found) / float64(looked)
}

// timed calls f with the numbers below n, and returns the time of a call in seconds, on the clock
// and of the processor.
func timed(n int, f func(i int) error) (wall, cpu float64, err error) {
	began, used := time.Now(), usage.CPU()
	for i := range n {
		if err := f(i); err != nil {
			return 0, 0, err
		}
	}
	wall, cpu = time.Since(began).Seconds(), (usage.CPU() - used).Seconds()
	return wall / float64(n), cpu / float64(n), nil
}

// collect measures garbage collections.
func (r *result) collect() {
	times := make([]float64, collections)
	used := collectorTime()
	for i := range times {
		began := time.Now()
		runtime.GC()
		times[i] = time.Since(began).Seconds()
	}
	r.GC = cli.Median(times)
	r.GCCPU = (collectorTime() - used) / collections
}

// heap returns the bytes in use after a garbage collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // frees objects that finalizers and pools kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// taken returns the bytes that this process has taken from the system.
func taken() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys
}

// collectorTime returns the processor time of garbage collections so far, in seconds.
func collectorTime() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64()
}

// longestPause returns the longest pause of a garbage collection so far, in seconds.
func longestPause() float64 {
	s := []metrics.Sample{{Name: usage.PausesMetric}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	_, longest := usage.Pauses(h, make([]uint64, len(h.Counts)))
	return longest
}
