package stalltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A caller is one call, in a goroutine of its own.
type caller struct {
	own  *deadline
	done chan struct{}

	// These are set when done is closed.
	outcome Outcome
	value   string
	at      time.Time
}

// call starts a caller.
func (t *trial) call(do func(context.Context) (string, error)) *caller {
	c := &caller{own: newDeadline(), done: make(chan struct{}), outcome: Killed} // unless it ends
	go func() {
		defer func() {
			if p := recover(); p != nil {
				if t.bare {
					panic(p)
				}
				c.outcome = Panicked
			}
			c.at = time.Now()
			close(c.done)
		}()
		v, err := do(c.own)
		c.outcome, c.value = t.outcomeOf(c, v, err), v
	}()
	return c
}

// outcomeOf returns the outcome of a call that returned.
func (t *trial) outcomeOf(c *caller, v string, err error) Outcome {
	late := c.own.passed.Load()
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case errors.Is(err, errWrong):
		return Wrong
	case err == nil && v == "":
		return Zero
	case err == nil && late:
		return Late
	case err == nil:
		return Value
	case late:
		return Deadline
	case ended && t.hasLeft:
		return Cancelled
	}
	return Error
}

// fetch starts a caller of the key.
func (t *trial) fetch(key string) *caller {
	return t.call(func(ctx context.Context) (string, error) {
		v, err := t.cache.Fetch(ctx, key)
		if err == nil && v != "" && !right(key, v) {
			err = errWrong
		}
		return v, err
	})
}

// right reports whether v is a value that the key may have.
func right(k, v string) bool {
	return v == valueOf(k) || v == oldValue || v == newValue || v == setValue
}

// fetches starts n callers of the key.
func (t *trial) fetches(n int, key string) []*caller {
	callers := make([]*caller, n)
	for i := range callers {
		callers[i] = t.fetch(key)
	}
	return callers
}

// otherKeys is the number of keys that are fetched to see whether a fault concerns them.
const otherKeys = 64

// fetchOthers starts a caller for each of otherKeys keys that were not fetched before.
func (t *trial) fetchOthers(prefix string) []*caller {
	callers := make([]*caller, otherKeys)
	for i := range callers {
		callers[i] = t.fetch(fmt.Sprintf("%s%d", prefix, i))
	}
	return callers
}

// has reports whether the caller has its outcome.
func (c *caller) has() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// seen returns the caller's outcome.
func (c *caller) seen() Outcome {
	if c.has() {
		return c.outcome
	}
	return Hang
}

// wait waits for the callers until this process had d to run, and reports whether all returned.
func wait(d time.Duration, callers ...*caller) bool {
	all := make(chan struct{})
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for _, c := range callers {
			select {
			case <-c.done:
			case <-stop:
				return
			}
		}
		close(all)
	}()
	return closes(d, all)
}

// settle waits for the callers. Their deadlines pass after d, and those that do not return then,
// although no goroutine has anything to do, hang.
func settle(d time.Duration, callers ...*caller) {
	if d > 0 && wait(d, callers...) {
		return
	}
	pass(callers)
	waitOut(grace, callers)
}

// waitOut waits for the callers for d, and longer if the machine is too busy to say that they hang.
func waitOut(d time.Duration, callers []*caller) {
	const more = 30
	for range more {
		if wait(d, callers...) || quiet() {
			return
		}
	}
}

// count adds the outcomes of the callers to the result, and fails the case for those that are not
// wanted.
func (t *trial) count(since time.Time, callers []*caller, wanted ...Outcome) {
	for _, c := range callers {
		o := c.seen()
		t.result.Callers[o]++
		if o != Hang {
			t.result.Longest = max(t.result.Longest, c.at.Sub(since))
		}
	}
	for _, o := range outcomes {
		if t.result.Callers[o] > 0 && !slices.Contains(wanted, o) {
			t.fail(reasons[o])
		}
	}
}

// served counts the callers with a value.
func served(callers []*caller) (n int) {
	for _, c := range callers {
		if c.seen() == Value {
			n++
		}
	}
	return n
}

// countServed counts like count, and describes the result by the number of callers with a value,
// all of which are wanted, except for but of them.
func (t *trial) countServed(since time.Time, callers []*caller, but int) {
	t.count(since, callers, outcomes...)
	n := served(callers)
	t.word = fmt.Sprintf("%d of %d", n, len(callers))
	if n < len(callers)-but {
		for _, o := range outcomes { // the worst says why
			if o != Value && t.result.Callers[o] > 0 {
				t.fail(reasons[o])
			}
		}
	}
}

// next fetches the keys once more. Their loads work now.
func (t *trial) next(keys ...string) (last *caller) {
	t.result.Next = Value
	for _, k := range keys {
		last = t.fetch(k)
		settle(patience, last)
		if o := last.seen(); o != Value {
			t.result.Next = o
			t.fail("the next caller fails, too: " + reasons[o])
		}
	}
	return last
}
