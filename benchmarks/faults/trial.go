package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// settle is the time between the first caller and the others, so that its deadline passes
	// first, and the time that they then have to join its load before it goes wrong. No library
	// reports its waiting callers. A caller that is slower starts a load of its own, which shows in
	// the counts.
	settle = 100 * time.Millisecond
	// grace is the time past its deadline after which a caller counts as hanging.
	grace = time.Second
)

// A config holds for all cells.
type config struct {
	Callers int           `json:"callers"`
	Timeout time.Duration `json:"timeout"` // of callers without a deadline
}

// errNoLoad means that a trial could not begin. It is no result about a library.
var errNoLoad = errors.New("the first load did not start")

// A trial runs one fault with one library.
type trial struct {
	cfg     config
	fault   fault
	subject subject

	loads   atomic.Int64
	started chan struct{} // closed by the first load
	strike  chan struct{} // closed when all callers wait
	release chan struct{} // closed at the end, for the first load if it hangs
	answers chan answer   // with room for all

	cancelFirst context.CancelFunc
}

// An answer is the result of one caller.
type answer struct {
	caller  int
	outcome outcome
	value   string
	at      time.Time
}

// observe runs the fault with the library, and returns the observation.
func observe(l library, f fault, cfg config) (seen observation, err error) {
	t := &trial{
		cfg: cfg, fault: f,
		started: make(chan struct{}), strike: make(chan struct{}), release: make(chan struct{}),
		answers: make(chan answer, cfg.Callers+1),
	}
	t.subject, err = l.make(t.load)
	if err != nil {
		return seen, fmt.Errorf("%s: %w", l.name, err)
	}
	defer func() {
		close(t.release)
		if t.subject.close != nil {
			err = errors.Join(err, t.subject.close())
		}
	}()
	if f.deletes && t.subject.del == nil || f.sets && t.subject.set == nil {
		return observation{Unsupported: true}, nil
	}

	first, cancel := context.WithCancel(context.Background())
	defer cancel()
	t.cancelFirst = cancel
	go t.call(first, 0, f.deadline)
	if !within(callerDeadline, t.started) {
		return seen, fmt.Errorf("%s, %s: %w", l.name, f.name, errNoLoad)
	}
	if f.spread {
		close(t.strike)
	}
	if f.deadline == callerDeadline { // the shorter one leaves no time for that
		time.Sleep(settle)
	}
	start := time.Now()
	for i := 1; i < cfg.Callers; i++ {
		if f.spread {
			share := time.Second * time.Duration(i) / time.Duration(cfg.Callers-1)
			time.Sleep(time.Until(start.Add(share)))
		}
		go t.call(context.Background(), i, f.deadline)
	}
	done := t.whileAllWait()
	if !f.spread {
		close(t.strike)
	}
	seen = t.collect(time.Now())
	within(grace, done)

	go t.call(context.Background(), cfg.Callers, callerDeadline)
	seen.Next = hangs
	if a, ok := t.next(time.After(callerDeadline+grace), cfg.Callers); ok {
		seen.Next, seen.NextValue = a.outcome, a.value
	}
	seen.Loads = int(t.loads.Load())
	return seen, nil
}

// whileAllWait runs meanwhile of the fault. The channel is closed when that has returned, which may
// be after the load if the library makes it wait.
func (t *trial) whileAllWait() <-chan struct{} {
	done := make(chan struct{})
	if !t.fault.spread {
		time.Sleep(settle)
	}
	go func() {
		defer close(done)
		if t.fault.meanwhile != nil {
			t.fault.meanwhile(t)
		}
	}()
	within(settle, done)
	return done
}

// within waits until c is closed, for at most d, and reports whether it was.
func within(d time.Duration, c <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}

// load is the loader of the library. Only its first call goes wrong.
func (t *trial) load(ctx context.Context) (string, error) {
	if t.loads.Add(1) > 1 {
		return newValue, nil
	}
	close(t.started)
	<-t.strike
	return t.fault.load(ctx, t)
}

// call runs one caller with the given deadline; 0: none.
func (t *trial) call(ctx context.Context, caller int, deadline time.Duration) {
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	a := answer{caller: caller, outcome: killed} // unless it gets to the end
	defer func() {
		if p := recover(); p != nil {
			if !t.fault.recovers {
				panic(p)
			}
			a.outcome = panicked
		}
		a.at = time.Now()
		t.answers <- a
	}()
	v, err := t.subject.fetch(ctx)
	a.outcome, a.value = outcomeOf(ctx, v, err), v
}

// collect waits for the callers, and counts their outcomes with the times since the fault struck.
func (t *trial) collect(struck time.Time) observation {
	seen := observation{Outcomes: map[outcome]int{}, Took: map[outcome]time.Duration{}}
	patience := t.fault.deadline + grace
	if t.fault.deadline == noDeadline {
		patience = t.cfg.Timeout
	}
	end := time.After(patience)
	for answered := range t.cfg.Callers {
		a, ok := t.next(end, -1)
		if !ok {
			seen.Outcomes[hangs] = t.cfg.Callers - answered
			break
		}
		if t.fault.leaves && a.caller == 0 {
			continue
		}
		seen.Outcomes[a.outcome]++
		seen.Took[a.outcome] = max(seen.Took[a.outcome], a.at.Sub(struck))
	}
	return seen
}

// next returns the next answer of a caller, or of any if caller is negative.
// It reports false if none came until end.
func (t *trial) next(end <-chan time.Time, caller int) (answer, bool) {
	for {
		select {
		case a := <-t.answers:
			if caller < 0 || a.caller == caller {
				return a, true
			}
		case <-end:
			return answer{}, false
		}
	}
}
