package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/lab/proc"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/workload"
)

// A cell is what was measured of one library at one rate in one round.
type cell struct {
	Library  string         `json:"library"`
	Rate     float64        `json:"rate"` // requests a second
	Round    int            `json:"round"`
	Answered measured.Value `json:"answered_per_second"` // with the status 200
	P50      measured.Value `json:"p50_seconds"`
	P99      measured.Value `json:"p99_seconds"`
	P999     measured.Value `json:"p99_9_seconds"`
	Errors   measured.Value `json:"errors_share"`
	CPU      measured.Value `json:"cpu_seconds_per_request"` // of the server
	Heap     measured.Value `json:"live_heap_bytes"`
	RSS      measured.Value `json:"peak_rss_bytes"`
	Queries  measured.Value `json:"queries_per_request"`
	Late     measured.Value `json:"sent_late_p99_seconds"`
	Opened   int            `json:"connections"`

	// Saturated reports that the service does not keep up with the rate.
	Saturated bool `json:"saturated"`
}

// A rate is too much for a service that answers a smaller share of it, or if the 99th percentile
// of its answers takes longer.
const (
	leastShare = 0.95
	longestP99 = time.Second
)

// A server is a process of one library.
type server struct {
	*proc.Process
	replies chan usage
}

// startServer starts the process, which is ready when the first reply has come.
func startServer(command []string, j job) (*server, error) {
	s := &server{replies: make(chan usage, 1)}
	p, err := proc.Start(j.Library, command, func(u usage) { s.replies <- u })
	if err != nil {
		return nil, err
	}
	s.Process = p
	if err := p.Send(j); err != nil {
		p.Kill()
		return nil, errors.Join(err, p.Err())
	}
	return s, nil
}

// reply returns the next usage that the server writes.
func (s *server) reply(ctx context.Context) (usage, error) {
	select {
	case u := <-s.replies:
		return u, nil
	case <-s.Gone():
		return usage{}, s.Ended()
	case <-ctx.Done():
		return usage{}, context.Cause(ctx)
	}
}

// usageAt returns what the server has used at a time of the traffic.
func (s *server) usageAt(ctx context.Context, clock pace.Clock, t time.Duration) (usage, error) {
	if err := clock.Until(ctx, t); err != nil {
		return usage{}, err
	}
	if err := s.Send("usage"); err != nil {
		return usage{}, err
	}
	return s.reply(ctx)
}

// measure runs one library at one rate.
func (o *options) measure(ctx context.Context, database, library string, rate float64, round int) (
	c cell, err error,
) {
	f := o.faults
	f.Seed = workload.Hash(f.Seed, uint64(round)) //nolint:gosec // from 0 on
	s, err := startServer(o.child, job{library, database, o.ttl, o.timeout, f, true})
	if err != nil {
		return cell{}, err
	}
	defer s.Kill()
	ready, err := s.reply(ctx)
	if err != nil {
		return cell{}, err
	}
	zipf, err := workload.NewZipf(rows, 1)
	if err != nil {
		return cell{}, err
	}
	draws := workload.Stream(f.Seed, uint64(rate)) // the same for each library
	t := &traffic{
		address: ready.Address, rate: rate, warm: o.warm, measure: o.duration,
		connections: o.connections, timeout: o.timeout, ids: func() uint64 { return zipf.Draw(draws) },
	}
	clock := pace.Start()
	var before, after usage
	var failed error
	watched := make(chan struct{})
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() { // until the end of what is measured, or of ctx
		defer close(watched)
		if before, failed = s.usageAt(ctx, clock, t.warm); failed == nil {
			after, failed = s.usageAt(ctx, clock, t.warm+t.measure)
		}
		if failed != nil {
			stop(failed)
		}
	}()
	got, err := t.run(ctx, clock)
	<-watched
	if err := cmp.Or(failed, err); err != nil {
		return cell{}, fmt.Errorf("%s at %v/s: %w", library, rate, err)
	}
	c = got.cell(o.duration)
	c.Library, c.Rate, c.Round = library, rate, round
	c.used(before, after)
	return c, nil
}

// cell returns the part of a cell that is seen from outside of the server. The requests are those
// that were due for a time.
func (t *tally) cell(due time.Duration) cell {
	all := float64(t.good + t.failed + t.lost)
	c := cell{
		Answered: measured.Value(float64(t.answered) / due.Seconds()),
		P50:      t.times.Quantile(50), P99: t.times.Quantile(99), P999: t.times.Quantile(99.9),
		Errors: measured.Value(float64(t.failed+t.lost) / all),
		Late:   t.late.Quantile(99),
		Opened: t.opened,
	}
	c.Saturated = float64(t.answered) < leastShare*all || c.P99 > measured.Of(longestP99)
	return c
}

// used adds what the server used between two replies.
func (c *cell) used(before, after usage) {
	requests := float64(after.Requests - before.Requests)
	per := func(used float64, known bool) measured.Value {
		if !known || requests == 0 {
			return measured.None()
		}
		return measured.Value(used / requests)
	}
	c.CPU = per((after.CPU - before.CPU).Seconds(), after.CPU > 0)
	c.Queries = per(float64(after.Loads-before.Loads), true)
	c.Heap, c.RSS = measured.Value(after.Heap), measured.Value(after.RSS)
	if after.RSS == 0 {
		c.RSS = measured.None()
	}
}
