package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// A clock returns the cache's time, in nanoseconds since StaleFor before the cache was made.
//
// Reading the system's clock takes longer than the rest of a hit. So while hits
// are many, a goroutine reads it for all of them, every half of maxError, and hits
// read the coarse time that it stored. The goroutine may be late when other goroutines
// keep the cores busy. Two things compensate for that: every 64th hit of a stripe reads
// the system's clock and corrects the coarse time, and hits of an entry near its
// expiry read it, too. While hits are few there is no goroutine, and each hit reads
// the system's clock.
//
// The time is negative where a testing/synctest bubble uses a cache that was made
// outside of it, since the bubble's clock begins in the year 2000. Entries stored there
// expire by the bubble's clock. No goroutine is started there, since the bubble would
// wait for it, and the sweep skips these entries, since it uses the other clock.
type clock struct {
	base     time.Time
	maxError time.Duration // negative: always read the system's clock
	hits     func() uint64 // the cache's hits in total

	_ [64]byte
	// coarse is the time that the goroutine stored last; 0: read the system's clock. It
	// has a cache line of its own, since it is written every half of maxError.
	coarse atomic.Int64
	_      [64]byte

	mu      sync.Mutex // guards the following
	running bool
	stopped bool
	quit    chan struct{} // made by the first start; closed by stop
	done    sync.WaitGroup
}

// DefaultClockError is used if Options.ClockError is 0.
const DefaultClockError = time.Millisecond

const (
	// minHitRate is the number of hits per second, in one stripe, from which the
	// goroutine costs less than it saves.
	minHitRate = 10_000

	// ticksPerRateCheck is the number of the goroutine's ticks between two checks that
	// the hit rate still justifies it.
	ticksPerRateCheck = 32
)

// now returns the exact time.
func (k *clock) now() int64 { return int64(time.Since(k.base)) }

// maxDelay bounds how late the goroutine may be without an expired entry being taken for
// live. With two busy cores it was late by up to 76 ms.
const maxDelay = 200 * time.Millisecond

// reached reports whether the time t has come.
func (k *clock) reached(t int64) bool {
	if coarse := k.coarse.Load(); coarse != 0 && coarse < t-int64(maxDelay) {
		return false
	}
	return k.now() >= t
}

// approx returns the time, at most maxError late while the goroutine runs as scheduled.
func (k *clock) approx() int64 {
	if t := k.coarse.Load(); t != 0 {
		return t
	}
	return k.now()
}

// adapt corrects the coarse time if that is late, or starts the goroutine if hits of s
// have become frequent. Every lookEvery-th hit of s calls it, if it needs the
// time.
func (k *clock) adapt(s *stripe) {
	if k.maxError < 0 {
		return
	}
	now := k.now()
	if now < 0 {
		return
	}
	coarse := k.coarse.Load()
	last := s.lastAdapt.Swap(now)
	switch since := now - last; {
	case coarse != 0 && now-coarse > int64(k.maxError):
		k.advance(now)
	case coarse == 0 && last != 0 && since < int64(time.Second)*lookEvery/minHitRate:
		k.start()
	}
}

// advance sets the coarse time to now, unless it is 0 or later than that already.
func (k *clock) advance(now int64) {
	for {
		coarse := k.coarse.Load()
		if coarse == 0 || coarse >= now || k.coarse.CompareAndSwap(coarse, now) {
			return
		}
	}
}

// start starts the goroutine that updates the coarse time, unless it runs or stop was
// called.
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
	tick := max(time.Microsecond, k.maxError/2)
	ticker := time.NewTicker(tick)
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
			if float64(hits-before) < minHitRate*(ticksPerRateCheck*tick).Seconds()/2 {
				k.stopCoarse()
				return
			}
		}
	}
}

// stopCoarse discards the coarse time: hits read the system's clock again.
func (k *clock) stopCoarse() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.coarse.Store(0)
	k.running = false
}

// stop ends the goroutine, waits for it, and prevents another from starting.
func (k *clock) stop() {
	k.mu.Lock()
	if !k.stopped && k.quit != nil {
		close(k.quit)
	}
	k.stopped = true
	k.mu.Unlock()
	k.done.Wait()
}
