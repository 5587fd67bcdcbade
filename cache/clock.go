package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// A clock tells the cache's time, in nanoseconds since the cache was made.
//
// To ask the system takes longer than all else that a hit does. So while there
// are many hits a goroutine asks for all of them, every half of maxError, and
// hits read what it found. If it comes too late, since other goroutines keep the
// cores busy, the hits themselves notice: each of many, the 64th of its stripe,
// compares. And since it may be late, hits ask the system for an entry that is near
// its end by what they read. While hits are few there is no goroutine, and each asks
// the system.
//
// The time is negative where a testing/synctest bubble uses a cache that was made
// outside: the bubble's clock begins in the year 2000. What is stored there expires
// by that clock. No goroutine is started there, since the bubble would wait for it,
// and the sweep leaves what was stored there alone, since it goes by another clock.
type clock struct {
	base     time.Time
	maxError time.Duration // negative: never read but from the system
	hits     func() uint64 // in all

	_ [64]byte
	// rough is the time as of late; 0: ask the system. It is on a line of its
	// own, which is written every half of maxError.
	coarse atomic.Int64
	_      [64]byte

	mu      sync.Mutex // guards the following
	running bool
	stopped bool
	quit    chan struct{} // made by the first start; closed by stop
	done    sync.WaitGroup
}

// DefaultClockError is Options.ClockError where that is 0.
const DefaultClockError = time.Millisecond

const (
	// watchEvery is how many hits of a stripe are between two comparisons.
	adaptEvery = 64

	// roughFrom is how many hits a second, in one stripe, pay for the goroutine.
	minHitRate = 10_000

	// restAfter is how many beats are between two looks at whether they still do.
	ticksPerRateCheck = 32
)

// now is the exact time.
func (k *clock) now() int64 { return int64(time.Since(k.base)) }

// maxLate is how late the goroutine may come without an entry being taken for live
// after its end. With two cores kept busy it was late by up to 76 ms.
const maxDelay = 200 * time.Millisecond

// reached reports whether the time t has come.
func (k *clock) reached(t int64) bool {
	if rough := k.coarse.Load(); rough != 0 && rough < t-int64(maxDelay) {
		return false
	}
	return k.now() >= t
}

// roughly is the time, at most maxError late while the goroutine gets its turn.
func (k *clock) approx() int64 {
	if t := k.coarse.Load(); t != 0 {
		return t
	}
	return k.now()
}

// watch is called at every 64th hit of a stripe that needed the time.
func (k *clock) adapt(s *stripe) {
	if k.maxError < 0 {
		return
	}
	now := k.now()
	if now < 0 {
		return
	}
	rough := k.coarse.Load()
	seen := s.lastAdapt.Swap(now)
	switch since := now - seen; {
	case rough != 0 && now-rough > int64(k.maxError):
		k.advance(now)
	case rough == 0 && seen != 0 && since < int64(time.Second)*adaptEvery/minHitRate:
		k.start()
	}
}

// forward sets the rough time to now, never back.
func (k *clock) advance(now int64) {
	for {
		rough := k.coarse.Load()
		if rough == 0 || rough >= now || k.coarse.CompareAndSwap(rough, now) {
			return
		}
	}
}

// start has a goroutine keep the rough time.
func (k *clock) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.running || k.stopped {
		return
	}
	if k.quit == nil {
		k.quit = make(chan struct{})
	}
	k.running = true
	k.coarse.Store(max(1, k.now()))
	k.done.Go(k.run)
}

func (k *clock) run() {
	beat := max(time.Microsecond, k.maxError/2)
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	hits := k.hits()
	for n := 1; ; n++ {
		select {
		case <-k.quit:
			k.stopCoarse()
			return
		case <-ticker.C:
		}
		k.advance(k.now())
		if n%ticksPerRateCheck == 0 {
			before := hits
			hits = k.hits()
			if float64(hits-before) < minHitRate*(ticksPerRateCheck*beat).Seconds()/2 {
				k.stopCoarse()
				return
			}
		}
	}
}

// rest ends the rough time. Hits ask the system again.
func (k *clock) stopCoarse() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.coarse.Store(0)
	k.running = false
}

// stop ends the goroutine, and lets none start any more.
func (k *clock) stop() {
	k.mu.Lock()
	if !k.stopped && k.quit != nil {
		close(k.quit)
	}
	k.stopped = true
	k.mu.Unlock()
	k.done.Wait()
}
