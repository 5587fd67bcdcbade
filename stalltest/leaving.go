package stalltest

import (
	"context"
	"fmt"
)

// leaving returns the cases of a caller whose context ends while the others stay.
func leaving() []Case {
	return group("A caller leaves", nothingMore,
		Case{
			Name: "first-cancelled", Title: "first, cancelled",
			What: "the context of the first caller is cancelled; the load heeds its own context. " +
				"n loads: it was loaded anew for the others",
			Want: "the others get the value of the load",
			run:  func(t *trial) bool { return t.firstLeaves(context.Canceled) },
		},
		Case{
			Name: "first-deadline", Title: "first, deadline",
			What: "the deadline of the first caller passes; the load heeds its own context. " +
				"n loads: it was loaded anew for the others",
			Want: "the others get the value of the load",
			run:  func(t *trial) bool { return t.firstLeaves(context.DeadlineExceeded) },
		},
		Case{
			Name: "joined-cancelled", Title: "another, cancelled",
			What: "the context of a caller that has joined the load is cancelled. " +
				"stuck: it waits for the load nevertheless",
			Want: "it returns at once, and the others get the value",
			run:  joinedLeaves,
		},
	)
}

func (t *trial) firstLeaves(why error) bool {
	t.hasLeft = true
	callers, struck, ok := burst{
		load: returns(oldValue, nil), heeds: true,
		meanwhile: func(callers []*caller) {
			callers[0].own.end(why)
			quiet() // it leaves, or the load ends for all
		},
	}.run(t)
	if !ok {
		return false
	}
	t.count(struck, callers[1:], Value)
	if n := t.loadsOf(key); n > 1 && t.result.Callers[Value] == len(callers)-1 {
		t.word = fmt.Sprintf("%d loads", n)
	}
	t.next(key)
	return true
}

func joinedLeaves(t *trial) bool {
	stuck := false
	callers, struck, ok := burst{
		load: returns(oldValue, nil),
		meanwhile: func(callers []*caller) {
			leaver := callers[len(callers)-1]
			leaver.own.end(context.Canceled)
			waitOut(patience, []*caller{leaver})
			stuck = !leaver.has()
		},
	}.run(t)
	if !ok {
		return false
	}
	t.count(struck, callers[:len(callers)-1], Value)
	if stuck {
		if len(t.result.Callers) == 1 && t.result.Callers[Value] > 0 {
			t.word = "stuck"
		}
		t.fail("a caller whose context has ended waits for the load")
	}
	t.next(key)
	return true
}
