package courier

import "github.com/snowfence/snowfence/courier/internal/guard"

// Stats is a snapshot of a Courier: counts since it was made, and its present state.
type Stats struct {
	// Counts.

	Started        uint64 // flights started: one for each key, also by DoMany
	Joined         uint64 // callers that joined the flight of another
	Panics         uint64 // functions and children that panicked
	Goexits        uint64 // functions and children that called runtime.Goexit
	Timeouts       uint64 // flights that ended with ErrTimeout
	Late           uint64 // flights that came late: see the package's comment, and LateAge
	Deserted       uint64 // flights cancelled because their last caller left
	Deadlocks      uint64 // calls that got a DeadlockError
	Overloads      uint64 // calls and flights that got an *OverloadedError
	BackedOff      uint64 // calls that got a BackoffError
	AbandonedTotal uint64 // flights that were ever in Abandoned

	// Present state.

	InFlight  int // flights under way
	Waiting   int // callers that wait for one, without those with low priority
	Abandoned int // flights that are over but whose goroutines still run; a batch is one
}

// Stats returns a snapshot. It takes the locks of the courier's shards one after
// the other, each for a moment: the numbers of one key agree.
func (c *Courier[K, V]) Stats() Stats {
	var sum Stats
	for s := range c.shards {
		s.mu.Lock()
		sum.add(&s.stats)
		s.mu.Unlock()
	}
	sum.Waiting += int(c.many.Load())
	return sum
}

func (s *Stats) add(t *Stats) {
	s.Started += t.Started
	s.Joined += t.Joined
	s.Panics += t.Panics
	s.Goexits += t.Goexits
	s.Timeouts += t.Timeouts
	s.Late += t.Late
	s.Deserted += t.Deserted
	s.Deadlocks += t.Deadlocks
	s.Overloads += t.Overloads
	s.BackedOff += t.BackedOff
	s.AbandonedTotal += t.AbandonedTotal
	s.InFlight += t.InFlight
	s.Waiting += t.Waiting
	s.Abandoned += t.Abandoned
}

// count counts a goroutine that has ended by a panic or Goexit. s.mu is held.
func (s *shard[K, V]) count(how guard.Ending) {
	switch how {
	case guard.Panicked:
		s.stats.Panics++
	case guard.Exited:
		s.stats.Goexits++
	case guard.Returned, guard.Answered:
	}
}
