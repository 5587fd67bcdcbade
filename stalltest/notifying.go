package stalltest

import (
	"context"
	"fmt"
	"time"
)

// smallCapacity is the room of a cache that must evict soon.
const smallCapacity = 64

// notifying returns the cases of callbacks.
func notifying() []Case {
	const all = "every caller gets its value"
	cases := group("The callback of an eviction", func(s Subject, _ Cache) string {
		if !s.Notifies {
			return "callbacks"
		}
		return ""
	},
		Case{
			Name: "callback-hang", Title: "hang",
			What: "it never returns; 64 more keys are fetched meanwhile. n of m callers get a value, " +
				"with the one that evicts",
			Want: all,
			run: func(t *trial) bool {
				return t.callback(func(int) { <-t.release }, false)
			},
		},
		Case{
			Name: "callback-panic", Title: "panic",
			What: "its first call panics; 64 more keys are fetched then. n of m callers get a value; " +
				"no calls: it is never called again",
			Want: all + ", and the callback is called again",
			run: func(t *trial) bool {
				return t.callback(func(n int) {
					if n == 1 {
						panic("the callback panics")
					}
				}, true)
			},
		},
		Case{
			Name: "callback-fetch", Title: "fetch in it",
			What: "it fetches a key; 64 more keys are fetched meanwhile. n of m callers get a value",
			Want: all + ", and so does the callback",
			run: func(t *trial) bool {
				return t.callback(func(n int) {
					if n == 1 {
						_, _ = t.cache.Fetch(context.Background(), "within")
					}
				}, true)
			},
		},
	)
	for i := range cases {
		cases[i].setup = Setup{Capacity: smallCapacity}
	}
	return cases
}

// callback fetches keys until one has to go, and others when the callback was called. again says
// that it must be called again then.
func (t *trial) callback(f func(n int), again bool) bool {
	called := make(chan struct{})
	t.mu.Lock()
	t.notify = func(n int) {
		if n == 1 {
			close(called)
		}
		f(n)
	}
	t.mu.Unlock()

	began := time.Now()
	var fillers []*caller
	isCalled := closed(called)
	const most = 100 * smallCapacity
	for i := 0; i < most && !isCalled(); i++ {
		c := t.fetch(fmt.Sprintf("fill%d", i))
		for range 20 {
			if wait(patience/20, c) || isCalled() {
				break
			}
		}
		fillers = append(fillers, c)
	}
	if !isCalled() {
		t.word = "no calls"
		t.fail("the callback is never called")
		return true
	}
	quiet()
	callers := append(t.fetchOthers("other"), fillers[len(fillers)-1])
	settle(patience, callers...)
	t.countServed(began, callers, 0)
	if !again || t.result.Verdict == Fail {
		return true
	}
	for i := range most {
		t.mu.Lock()
		n := t.notices
		t.mu.Unlock()
		if n > 1 {
			return true
		}
		wait(patience, t.fetch(fmt.Sprintf("again%d", i)))
	}
	t.word = "no calls"
	t.fail("the callback is never called again")
	return true
}
