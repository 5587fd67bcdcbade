package origin

import "sync/atomic"

// Stats holds an origin's counters.
type Stats struct {
	Loads      uint64 // loads begun
	Faults     uint64 // of these, loads with a fault
	InProgress int    // loads that have begun and not ended, including those that hang
	Peak       int    // the maximum of InProgress
	Waiting    int    // loads that wait for a turn
	Hanging    int    // loads that hang until Close
}

// Stats returns the counters. Each is exact, but they are not read atomically together.
func (o *Origin) Stats() Stats {
	return Stats{
		Loads:      o.stats.loads.Load(),
		Faults:     o.stats.faults.Load(),
		InProgress: int(o.stats.inProgress.Load()),
		Peak:       int(o.stats.peak.Load()),
		Waiting:    int(o.stats.waiting.Load()),
		Hanging:    int(o.stats.hanging.Load()),
	}
}

type counters struct {
	loads, faults                      atomic.Uint64
	inProgress, peak, waiting, hanging atomic.Int64
}

func (c *counters) begin(fault FaultKind) {
	c.loads.Add(1)
	if fault != FaultNone {
		c.faults.Add(1)
	}
	now := c.inProgress.Add(1)
	for {
		peak := c.peak.Load()
		if now <= peak || c.peak.CompareAndSwap(peak, now) {
			return
		}
	}
}

func (c *counters) end() { c.inProgress.Add(-1) }
