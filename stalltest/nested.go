package stalltest

import (
	"context"
	"time"
)

// nested returns the cases of loads that wait for themselves.
func nested() []Case {
	const (
		all  = "every caller gets a value or an error before its deadline, and the keys work again"
		a, b = "a", "b"
	)
	return group("A load needs itself", nothingMore,
		Case{
			Name: "nested", Title: "k needs k", What: "the load of k fetches k", Want: all,
			run: func(t *trial) bool {
				callers, struck, ok := burst{load: func(ctx context.Context, _ int) (string, error) {
					return t.cache.Fetch(ctx, key)
				}}.run(t)
				if !ok {
					return false
				}
				t.count(struck, callers, Value, Error)
				t.next(key)
				return true
			},
		},
		Case{
			Name: "nested-cycle", Title: "a→b→a", Want: all,
			What: "the load of a fetches b, whose load fetches a",
			run: func(t *trial) bool {
				strike := make(chan struct{})
				inA := t.first(a, t.after(strike, b))
				t.first(b, t.after(strike, a))
				return t.cycle(strike, []string{a}, inA)
			},
		},
		Case{
			Name: "nested-crossed", Title: "a→b, b→a", Want: all,
			What: "the loads of a and b begin at the same time, and each fetches the other",
			run: func(t *trial) bool {
				strike := make(chan struct{})
				inA, inB := t.first(a, t.after(strike, b)), t.first(b, t.after(strike, a))
				return t.cycle(strike, []string{a, b}, inA, inB)
			},
		},
	)
}

// after returns a loader that fetches the key when strike is closed.
func (t *trial) after(strike <-chan struct{}, key string) loader {
	return func(ctx context.Context, _ int) (string, error) {
		t.orOver(strike)
		return t.cache.Fetch(ctx, key)
	}
}

// orOver waits for c, or until the case is over.
func (t *trial) orOver(c <-chan struct{}) {
	select {
	case <-c:
	case <-t.release:
	}
}

// cycle fetches the keys, whose loads wait for each other from strike on.
func (t *trial) cycle(strike chan struct{}, keys []string, started ...chan struct{}) bool {
	var callers []*caller
	for _, k := range keys {
		callers = append(callers, t.fetch(k))
	}
	if !begins(started[0]) {
		close(strike)
		return false
	}
	for _, s := range started[1:] {
		closes(patience, s) // unless the first load keeps it from that
	}
	for _, k := range keys {
		callers = append(callers, t.fetches(t.cfg.callers/len(keys)-1, k)...)
	}
	quiet()
	struck := time.Now()
	close(strike)
	settle(patience, callers...)
	t.count(struck, callers, Value, Error)
	t.next("a", "b")
	return true
}
