package stalltest

import (
	"context"
	"fmt"
	"runtime"
)

func panics(context.Context, int) (string, error) { panic("the load panics") }

// dying returns the cases of loads that end without a value.
func dying() []Case {
	fails := func(load loader, bare bool, wanted ...Outcome) func(*trial) bool {
		return func(t *trial) bool {
			t.bare = bare
			callers, struck, ok := burst{load: load}.run(t)
			if !ok {
				return false
			}
			t.bare = false
			// A caller that came too late to join has the value of another load.
			t.count(struck, callers, append(wanted, Error, Value)...)
			t.next(key)
			return true
		}
	}
	const all = "every caller gets an error at once, and the key works again"
	return group("The load ends", nothingMore,
		Case{
			Name: "none", Title: "no fault", What: "the load returns a value",
			Want: "every caller gets the value of one load",
			run: func(t *trial) bool {
				callers, struck, ok := burst{load: returns(oldValue, nil), every: true}.run(t)
				if !ok {
					return false
				}
				t.count(struck, callers, Value)
				if n := t.loadsOf(key); n > 1 && len(t.result.Callers) == 1 {
					t.word = fmt.Sprintf("%d loads", n)
					t.fail("the loads of a key are not de-duplicated")
				}
				t.next(key)
				return true
			},
		},
		Case{
			Name: "error", Title: "error", What: "the load returns an error", Want: all,
			run: fails(returns("", errInjected), false),
		},
		Case{
			Name: "panic", Title: "panic", What: "the load panics; callers do not recover", Want: all,
			run: fails(panics, true),
		},
		Case{
			Name: "panic-recovered", Title: "recovered",
			What: "the load panics; callers recover, as HTTP handlers do",
			Want: "every caller gets an error or the panic at once, and the key works again",
			run:  fails(panics, false, Panicked),
		},
		Case{
			Name: "goexit", Title: "Goexit", What: "the load calls runtime.Goexit, as t.FailNow does",
			Want: all,
			run: fails(func(context.Context, int) (string, error) {
				runtime.Goexit()
				return "", nil
			}, false),
		},
		Case{
			Name: "child", Title: "child panics",
			What: "a goroutine that is linked to the load panics while the load waits for it; callers " +
				"recover",
			Want: "every caller gets an error or the panic at once, and the key works again",
			lacks: func(_ Subject, c Cache) string {
				if c.Go == nil {
					return "linked goroutines"
				}
				return ""
			},
			run: func(t *trial) bool {
				return fails(func(ctx context.Context, _ int) (string, error) {
					t.cache.Go(ctx, func(context.Context) error { panic("the child panics") })
					return t.hang()
				}, false, Panicked)(t)
			},
		},
	)
}
