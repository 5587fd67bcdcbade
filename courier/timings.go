package courier

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/courier/internal/guard"
)

// A FlightEnd describes how a flight has ended.
type FlightEnd uint8

// The ways in which a flight ends.
const (
	EndValue      FlightEnd = iota // its function has returned a value
	EndAnswer                      // an error that is no failure: WithIsFailure
	EndError                       // another error, of the function or of a linked child
	EndPanic                       // *PanicError
	EndGoexit                      // ErrGoexit
	EndTimeout                     // *TimeoutError
	EndCancelled                   // its last caller has left
	EndOverloaded                  // its turn has not come in time: QueueWait
	EndClosed                      // ErrClosed
	numEnds
)

var endNames = [numEnds]string{
	"value", "answer", "error", "panic", "goexit", "timeout", "cancelled", "overloaded", "closed",
}

// String returns a word for e, such as "value" or "timeout".
func (e FlightEnd) String() string {
	if e >= numEnds {
		return "unknown"
	}
	return endNames[e]
}

// endOf returns the FlightEnd of a flight that ends with this ending of a goroutine, and its error.
func endOf(how guard.Ending, err error) FlightEnd {
	switch {
	case how == guard.Panicked:
		return EndPanic
	case how == guard.Exited:
		return EndGoexit
	case how == guard.Answered:
		return EndAnswer
	case err != nil:
		return EndError
	default:
		return EndValue
	}
}

// Timings hold the durations of a courier's flights since it was made, and of its callers' waits.
// They differ: a caller that joins a flight waits for the rest of it, one that leaves waits for
// less, and the durations of a slow flight with many callers are many waits.
type Timings struct {
	// Flights has the time from the start of flights, by how they ended, to their end. The wait for
	// their turn (WithMaxConcurrent) is a part of it. Each key of a DoMany counts.
	Flights map[FlightEnd]*Histogram
	// Waits has the time for which callers have waited, without those with low priority. A call of
	// DoMany counts once.
	Waits Histogram
}

// A SlowFlight is a flight that has taken long.
type SlowFlight struct {
	Key     any
	KeyText string // see WithKeyText
	Took    time.Duration
	End     FlightEnd
	Ended   time.Time
}

// timings hold a shard's part of Timings and of Slowest. The shard's lock guards all but waits.
type timings[K comparable] struct {
	flights [numEnds]*Histogram
	// single counts the waits of callers that had their flight for themselves. Most are, and the
	// lock is held anyway when it ends; an atomic addition takes longer.
	single *Histogram
	waits  atomic.Pointer[sharedHistogram] // of the other callers
	slow   *slowFlights[K]
}

// observeEnd records f, which has ended now. shard.mu is held.
func (t *timings[K]) observeEnd(key K, hash uint32, took time.Duration, end FlightEnd, at instant) {
	h := t.flights[end]
	if h == nil {
		h = &Histogram{}
		t.flights[end] = h
	}
	h.observe(took)
	if took >= slowAtLeast {
		if t.slow == nil {
			t.slow = &slowFlights[K]{}
		}
		t.slow.add(slowFlight[K]{key, hash, took, end, at})
	}
}

// observeSingle records the wait of a flight's only caller. shard.mu is held.
func (t *timings[K]) observeSingle(waited time.Duration) {
	if t.single == nil {
		t.single = &Histogram{}
	}
	t.single.observe(waited)
}

// observeWait records the wait of another caller, which is negative for one that came as the flight
// ended. It needs no lock.
func (t *timings[K]) observeWait(waited time.Duration) {
	h := t.waits.Load()
	if h == nil {
		t.waits.CompareAndSwap(nil, &sharedHistogram{})
		h = t.waits.Load()
	}
	h.observe(max(0, waited))
}

// observeLeft records the wait of a caller that leaves before its flight has ended.
func (s *shard[K, V]) observeLeft(w waiter) {
	if !w.low {
		s.timings.observeWait(now().since(w.since))
	}
}

// Timings returns the durations so far. Like Stats, it takes the locks of the courier's shards one
// after the other.
func (c *Courier[K, V]) Timings() Timings {
	sum := Timings{Flights: make(map[FlightEnd]*Histogram)}
	for s := range c.shards {
		s.mu.Lock()
		for end, h := range s.timings.flights {
			if h == nil {
				continue
			}
			of := sum.Flights[FlightEnd(end)]
			if of == nil {
				of = &Histogram{}
				sum.Flights[FlightEnd(end)] = of
			}
			of.Add(h)
		}
		if s.timings.single != nil {
			sum.Waits.Add(s.timings.single)
		}
		s.mu.Unlock()
		if h := s.timings.waits.Load(); h != nil {
			h.addTo(&sum.Waits)
		}
	}
	return sum
}

// Slowest returns flights that ended in the last five minutes or so and took longest, the slowest
// first: 20 at most, of a millisecond or more.
func (c *Courier[K, V]) Slowest() []SlowFlight {
	var all []slowFlight[K]
	since := now() - slowWindows*slowWindow
	for s := range c.shards {
		s.mu.Lock()
		all = s.timings.slow.appendSince(all, since)
		s.mu.Unlock()
	}
	slices.SortFunc(all, slowerFirst)
	all = all[:min(len(all), maxSlowest)]
	slow := make([]SlowFlight, len(all))
	for i, f := range all {
		slow[i] = SlowFlight{f.key, c.keyText(f.key, f.hash), f.took, f.end,
			processStart.Add(time.Duration(f.at))}
	}
	return slow
}
