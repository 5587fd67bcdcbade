package stalltest

import (
	"context"
	"fmt"
	"math"
	"time"
)

// keys returns the cases of keys that are no ordinary ones.
func keys() []Case {
	return group("Keys that are interfaces", func(_ Subject, c Cache) string {
		if c.FetchAny == nil {
			return "keys that are interfaces"
		}
		return ""
	},
		Case{
			Name: "key-uncomparable", Title: "slices",
			What: "callers ask for a key that holds a slice; 64 other keys are fetched then",
			Want: "these callers get an error or a panic of their own, and the others their values",
			run:  uncomparable,
		},
		Case{
			Name: "key-nan", Title: "NaN", What: "callers ask for NaN, which does not equal itself",
			Want: "every caller gets a value, by whichever load",
			run: func(t *trial) bool {
				began := time.Now()
				callers := make([]*caller, t.cfg.callers)
				for i := range callers {
					callers[i] = t.fetchAny(math.NaN())
				}
				settle(patience, callers...)
				t.count(began, callers, Value)
				return true
			},
		},
	)
}

// fetchAny starts a caller of the key.
func (t *trial) fetchAny(key any) *caller {
	return t.call(func(ctx context.Context) (string, error) {
		v, err := t.cache.FetchAny(ctx, key)
		if err == nil && v != "" && v != valueOf(fmt.Sprint(key)) {
			err = errWrong
		}
		return v, err
	})
}

func uncomparable(t *trial) bool {
	began := time.Now()
	callers := make([]*caller, t.cfg.callers)
	for i := range callers {
		callers[i] = t.fetchAny([]int{i % 2})
	}
	settle(patience, callers...)
	t.count(began, callers, Panicked, Error)
	var others []*caller
	for i := range otherKeys {
		others = append(others, t.fetchAny(i))
	}
	settle(patience, others...)
	t.result.Next = Value
	for _, c := range others {
		if o := c.seen(); o != Value {
			t.result.Next = o
			t.fail("the callers of other keys fail then: " + reasons[o])
			break
		}
	}
	return true
}
