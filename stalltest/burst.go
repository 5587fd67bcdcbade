package stalltest

import (
	"context"
	"sync"
	"time"
)

// A burst is the shape of most cases: one caller starts a load, the others join it, and when all
// wait the fault strikes.
type burst struct {
	// load is the rest of the first load, once all callers wait.
	load loader
	// every makes every load of the key wait for the fault and do load, not only the first one.
	every bool
	// heeds makes the first load return when its context ends before the fault.
	heeds bool
	// meanwhile runs when all callers wait, before the load goes on. It may end the contexts of
	// callers. nil: nothing happens.
	meanwhile func(callers []*caller)
	// doomed is set if the load never ends: the callers' deadlines pass as the fault strikes.
	doomed bool
}

// returns returns a loader with that result.
func returns(v string, err error) loader {
	return func(context.Context, int) (string, error) { return v, err }
}

// run runs the burst, and returns the callers and the time of the fault. It reports false if the
// load did not begin. Later loads of the key return newValue, unless every is set.
func (b burst) run(t *trial) (callers []*caller, struck time.Time, ok bool) {
	strike := make(chan struct{})
	strikeOnce := sync.OnceFunc(func() { close(strike) })
	defer strikeOnce()
	do := func(ctx context.Context, n int) (string, error) {
		var ended <-chan struct{}
		if b.heeds {
			ended = ctx.Done()
		}
		select {
		case <-strike:
			return b.load(ctx, n)
		case <-ended:
			return "", ctx.Err()
		}
	}
	later := returns(newValue, nil)
	if b.every {
		later = do
	}
	started := t.firstAndLater(key, do, later)
	callers = append(callers, t.fetch(key))
	if !begins(started) {
		return nil, struck, false
	}
	callers = append(callers, t.fetches(t.cfg.callers-1, key)...)
	quiet()
	if b.meanwhile != nil {
		b.meanwhile(callers)
	}
	struck = time.Now()
	strikeOnce()
	if b.doomed {
		quiet()
		settle(0, callers...)
		return callers, struck, true
	}
	settle(patience, callers...)
	return callers, struck, true
}

// first sets the first load of the key, which closes started, and lets every later one return
// newValue.
func (t *trial) first(key string, f loader) (started chan struct{}) {
	return t.firstAndLater(key, f, returns(newValue, nil))
}

func (t *trial) firstAndLater(key string, f, later loader) (started chan struct{}) {
	started = make(chan struct{})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loaders[key] = func(ctx context.Context, n int) (string, error) {
		if n > 1 {
			return later(ctx, n)
		}
		close(started)
		return f(ctx, n)
	}
	return started
}

// begins waits for a load, and reports whether it began.
func begins(started <-chan struct{}) bool { return closes(30*time.Second, started) }

// closes waits until c is closed or this process had d to run, and reports whether c was closed.
func closes(d time.Duration, c <-chan struct{}) bool {
	stop, expired := make(chan struct{}), make(chan struct{})
	defer close(stop)
	go func() {
		if spend(d, stop) {
			close(expired)
		}
	}()
	select {
	case <-c:
		return true
	case <-expired:
		return false
	}
}

// within runs f in a goroutine of its own and waits for it. It returns the caller that runs f, so
// that a call that hangs can be seen.
func (t *trial) within(f func()) *caller {
	c := t.call(func(context.Context) (string, error) {
		f()
		return newValue, nil
	})
	settle(patience, c)
	return c
}
