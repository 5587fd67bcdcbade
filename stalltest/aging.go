package stalltest

import (
	"context"
	"runtime"
	"time"
)

const (
	refreshAfter = 20 * time.Millisecond
	shortTTL     = 50 * time.Millisecond
	long         = time.Hour
)

// aging returns the cases of values that are loaded anew.
func aging() []Case {
	errs := returns("", errInjected)
	exits := func(context.Context, int) (string, error) {
		runtime.Goexit()
		return "", nil
	}
	const kept = "callers get the value of before meanwhile, and a later refresh brings a new one"
	refreshes := func(f loader) func(*trial) bool {
		return func(t *trial) bool { return t.refresh(f) }
	}
	cases := group("A refresh in the background", func(s Subject, _ Cache) string {
		if !s.Refreshes {
			return "refreshes"
		}
		return ""
	},
		Case{Name: "refresh-error", Title: "error", What: "it returns an error", Want: kept,
			run: refreshes(errs)},
		Case{Name: "refresh-panic", Title: "panic", What: "it panics", Want: kept,
			run: refreshes(panics)},
		Case{Name: "refresh-goexit", Title: "Goexit", What: "it calls runtime.Goexit", Want: kept,
			run: refreshes(exits)},
		Case{Name: "refresh-hang", Title: "hang", What: "it never returns",
			Want: "callers get the value of before",
			run:  refreshes(nil)},
	)
	for i := range cases {
		cases[i].setup = Setup{TTL: long, RefreshAfter: refreshAfter}
	}
	const stale = "every caller gets the value that has expired"
	stales := func(f loader) func(*trial) bool {
		return func(t *trial) bool { return t.stale(f) }
	}
	expired := group("The load of an expired value", func(s Subject, _ Cache) string {
		if !s.ServesStale {
			return "stale values"
		}
		return ""
	},
		Case{Name: "stale-error", Title: "error", What: "it returns an error", Want: stale,
			run: stales(errs)},
		Case{Name: "stale-panic", Title: "panic", What: "it panics; callers recover", Want: stale,
			run: stales(panics)},
		Case{Name: "stale-goexit", Title: "Goexit", What: "it calls runtime.Goexit", Want: stale,
			run: stales(exits)},
		Case{Name: "stale-hang", Title: "hang", What: "it never returns", Want: stale,
			run: stales(nil)},
	)
	for i := range expired {
		expired[i].setup = Setup{TTL: shortTTL, StaleFor: long}
	}
	return append(cases, expired...)
}

// second lets the first load of the key return oldValue and the second one go wrong: it closes
// started, waits for strike, and does f, or hangs if f is nil. Later loads return newValue.
func (t *trial) second(f loader, strike <-chan struct{}) (started chan struct{}) {
	started = make(chan struct{})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loaders[key] = func(ctx context.Context, n int) (string, error) {
		switch {
		case n == 1:
			return oldValue, nil
		case n > 2:
			return newValue, nil
		}
		close(started)
		t.orOver(strike)
		if f == nil {
			return t.hang()
		}
		return f(ctx, n)
	}
	return started
}

// until fetches the key again and again until done, and returns the callers. It gives up, and
// returns false, at a caller without a value or after a number of calls.
func (t *trial) until(done func() bool) (callers []*caller, ok bool) {
	const pause, most = 5 * time.Millisecond, 2000
	for range most {
		if done() {
			return callers, true
		}
		c := t.fetch(key)
		callers = append(callers, c)
		for range 20 { // a caller of a load that is held need not return
			if wait(10*pause, c) || done() {
				break
			}
		}
		if !c.has() && !done() {
			return callers, false
		}
		time.Sleep(pause)
	}
	return callers, false
}

func closed(c <-chan struct{}) func() bool {
	return func() bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
}

// refresh lets the first refresh of the key go wrong.
func (t *trial) refresh(f loader) bool {
	strike := make(chan struct{})
	started := t.second(f, strike)
	began := time.Now()
	callers, ok := t.until(closed(started))
	if !ok {
		t.word = "no refresh"
		t.fail("the value is not refreshed")
		close(strike)
		return true
	}
	quiet()
	callers = append(callers, t.fetches(t.cfg.callers, key)...)
	quiet()
	close(strike)
	settle(patience, callers...)
	callers = append(callers, t.fetches(t.cfg.callers, key)...)
	settle(patience, callers...)
	t.count(began, callers, Value)
	if f == nil {
		return true
	}
	t.result.Next = Value
	fresh := false
	if _, ok := t.until(func() bool {
		c := t.fetch(key)
		settle(patience, c)
		fresh = fresh || c.seen() == Value && c.value == newValue
		return fresh
	}); !ok {
		t.result.Next = Error
		t.fail("the key is never refreshed again")
	}
	return true
}

// stale lets the load of the expired key go wrong.
func (t *trial) stale(f loader) bool {
	strike := make(chan struct{})
	started := t.second(f, strike)
	first := t.fetch(key)
	settle(patience, first)
	if first.seen() != Value {
		return false
	}
	began := time.Now()
	callers, ok := t.until(closed(started))
	if !ok {
		t.word = "no load"
		t.fail("the value does not expire")
		close(strike)
		return true
	}
	callers = callers[len(callers)-1:] // that of the load
	callers = append(callers, t.fetches(t.cfg.callers-1, key)...)
	quiet()
	close(strike)
	settle(patience, callers...)
	for _, c := range callers {
		if c.seen() == Value && c.value == oldValue {
			c.outcome = Stale
		}
	}
	t.count(began, callers, Stale, Value)
	if n := t.result.Callers[Stale]; n > 0 && n+t.result.Callers[Value] == len(callers) {
		t.word = string(Stale) // those that came late have a fresh value
	}
	return true
}
