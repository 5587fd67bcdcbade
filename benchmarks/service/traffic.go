package main

import (
	"context"
	"math"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/measured"
)

// A traffic is an open loop of requests to one server. Each has a time at which it is due, whether
// or not earlier ones have been answered, and its latency counts from then.
type traffic struct {
	address       string
	rate          float64 // requests a second, once warm
	warm, measure time.Duration
	connections   int           // the most that are open
	timeout       time.Duration // of the service
	ids           func() uint64
}

// due returns when the request with a number is due. During the warm-up the rate rises from 0, so
// that an empty cache is not hit by the full rate.
func (t *traffic) due(number uint64) time.Duration {
	rising := uint64(t.rate * t.warm.Seconds() / 2)
	if number < rising {
		return time.Duration(float64(t.warm) * math.Sqrt(float64(number)/float64(rising)))
	}
	return t.warm + pace.Due(number-rising, t.rate)
}

// grace is how long answers are waited for beyond the service's time-out.
const grace = 200 * time.Millisecond

// run sends the requests and waits for the answers. The clock starts the schedule.
func (t *traffic) run(ctx context.Context, clock pace.Clock) (*tally, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end := t.warm + t.measure
	p := &pool{
		address: t.address, most: t.connections, clock: clock,
		tally: &tally{
			from: t.warm, to: end, times: measured.Fine(), late: measured.Fine(),
		},
	}
	for number := uint64(0); ctx.Err() == nil; number++ {
		due := t.due(number)
		if due >= end {
			break
		}
		for early := due - clock.Now(); early > 0; early = due - clock.Now() {
			sleep(early)
		}
		p.give(ctx, arrival{due, t.ids()})
		p.tally.gave(due, clock.Now())
	}
	stopped := context.Cause(ctx)
	timer := time.AfterFunc(end+t.timeout+grace-clock.Now(), cancel)
	defer timer.Stop()
	p.finish()
	return p.tally, stopped
}
