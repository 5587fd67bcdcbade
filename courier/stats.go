package courier

// Stats is a snapshot of what a Courier did since it was made and of what it
// is doing.
type Stats struct {
	// Counts.

	Started        uint64 // flights started
	Joined         uint64 // callers who joined a flight of somebody else
	Panics         uint64 // functions and children that panicked
	Goexits        uint64 // functions and children that called runtime.Goexit
	Timeouts       uint64 // flights that ended with ErrTimeout
	Deserted       uint64 // flights cancelled because their last caller left
	Deadlocks      uint64 // calls that got a DeadlockError
	Overloads      uint64 // calls and flights that got ErrOverloaded
	BackedOff      uint64 // calls that got a BackoffError
	AbandonedTotal uint64 // flights that were ever in Abandoned

	// Present state.

	InFlight  int // flights under way
	Waiting   int // callers who wait for one
	Abandoned int // flights that are over but whose goroutines still run
}

// Stats returns a consistent snapshot. It takes the courier's lock for a
// moment.
func (c *Courier[K, V]) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// count notes how a goroutine ended. c.mu is held.
func (c *Courier[K, V]) count(how ending) {
	switch how {
	case panicked:
		c.stats.Panics++
	case exited:
		c.stats.Goexits++
	case returned:
	}
}
