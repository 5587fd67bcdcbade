package stalltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// writing returns the cases of writes during a load.
func writing() []Case {
	return group("The key is written during its load", nothingMore,
		Case{
			Name: "delete", Title: "Delete",
			lacks: func(s Subject, c Cache) string { return cmp.Or(needsDelete(s, c), needsSet(s, c)) },
			What: "the source changes and the key is deleted. fresh: the next caller gets a new value; " +
				"stale: it gets the old one",
			Want: "the value of before is not stored",
			run: func(t *trial) bool {
				return t.written(func() { t.cache.Delete(key) }, func(stored string) (string, string) {
					if stored == newValue {
						return "fresh", ""
					}
					return "stale", "what was loaded before Delete is stored"
				})
			},
		},
		Case{
			Name: "set", Title: "Set", lacks: needsSet,
			What: "the key is set. kept: the next caller gets the value that was set; lost: it does not",
			Want: "the value that was set stays",
			run: func(t *trial) bool {
				return t.written(func() { t.cache.Set(key, setValue) }, keptOrLost)
			},
		},
		Case{
			Name: "set-within", Title: "Set in the load", lacks: needsSet,
			What: "the load itself sets its key, and returns that value",
			Want: "every caller gets the value",
			run: func(t *trial) bool {
				callers, struck, ok := burst{load: func(context.Context, int) (string, error) {
					t.cache.Set(key, setValue)
					return setValue, nil
				}}.run(t)
				if !ok {
					return false
				}
				t.count(struck, callers, Value)
				t.next(key)
				return true
			},
		},
		Case{
			Name: "set-error", Title: "Set, then error", lacks: needsSet,
			What: "the key is set during a load that then fails. kept: the next caller gets the value " +
				"that was set; lost: it does not",
			Want: "the value that was set stays",
			run: func(t *trial) bool {
				return t.writtenDuring(returns("", errors.New("the load fails")),
					func() { t.cache.Set(key, setValue) }, keptOrLost)
			},
		},
		Case{
			Name: "hang-delete", Title: "Delete, it hangs", lacks: needsDelete,
			What: "the key is deleted while the load hangs, and then fetched",
			Want: "Delete returns, and the caller after it gets a value",
			run: func(t *trial) bool {
				return t.writesWhileItHangs(func() { t.cache.Delete(key) }, newValue)
			},
		},
		Case{
			Name: "hang-set", Title: "Set, it hangs", lacks: needsSet,
			What: "the key is set while the load hangs, and then fetched",
			Want: "Set returns, and the caller after it gets the value that was set",
			run: func(t *trial) bool {
				return t.writesWhileItHangs(func() { t.cache.Set(key, setValue) }, setValue)
			},
		},
	)
}

func keptOrLost(stored string) (word, why string) {
	if stored == setValue {
		return "kept", ""
	}
	return "lost", "the value that was set during the load is lost"
}

// written writes the key during a load that returns a value.
func (t *trial) written(write func(), judge func(stored string) (word, why string)) bool {
	return t.writtenDuring(returns(oldValue, nil), write, judge)
}

// writtenDuring writes the key during the load, and judges by the value that the next caller gets.
func (t *trial) writtenDuring(
	load loader, write func(), judge func(stored string) (word, why string),
) bool {
	var writer *caller
	callers, struck, ok := burst{load: load, meanwhile: func([]*caller) {
		writer = t.call(func(context.Context) (string, error) {
			write()
			return newValue, nil
		})
		quiet() // it has written, or waits for the load
	}}.run(t)
	if !ok {
		return false
	}
	t.count(struck, callers, Value, Error)
	waitOut(grace, []*caller{writer})
	if o := writer.seen(); o != Value {
		t.result.Callers[o]++
		t.fail("the write does not return: " + reasons[o])
	}
	last := t.next(key)
	if t.result.Verdict == Fail {
		return true
	}
	word, why := judge(last.value)
	t.word = word
	if why != "" {
		t.fail(why)
	}
	return true
}

// writesWhileItHangs writes the key while its load hangs, and fetches it then.
func (t *trial) writesWhileItHangs(write func(), want string) bool {
	if !t.hangs() {
		return false
	}
	began := time.Now()
	w := t.within(write)
	if w.seen() != Value {
		t.count(began, []*caller{w}, Value)
		t.fail("the write waits for the load")
		return true
	}
	after := t.fetch(key)
	settle(patience, after)
	t.count(began, []*caller{after}, Value)
	if got := after.value; after.seen() == Value && got != want {
		t.word = fmt.Sprintf("%s value", got)
		t.fail(fmt.Sprintf("the caller after the write got the %s value", got))
	}
	return true
}
