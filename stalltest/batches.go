package stalltest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

// The keys of a batch; badKey is the one that goes wrong where it is one.
var batchKeys = []string{"k0", "k1", "k2", badKey, "k4", "k5", "k6", "k7", "k8", "k9"}

const badKey = "k3"

// A manyLoader is a batch load function of a case.
type manyLoader func(ctx context.Context, keys []string) (map[string]string, error)

// batches returns the cases of loads of many keys.
func batches() []Case {
	const all = "every caller gets an error at once, and the keys work again"
	fails := func(f manyLoader) func(*trial) bool {
		return func(t *trial) bool { return t.batch(f, patience, Error, Value) }
	}
	return group("A batch of ten keys", func(_ Subject, c Cache) string {
		if c.FetchMany == nil {
			return "batches"
		}
		return ""
	},
		Case{
			Name: "batch-panic", Title: "panic", What: "the load panics; callers recover",
			Want: "every caller gets an error or the panic at once, and the keys work again",
			run: func(t *trial) bool {
				return t.batch(func(context.Context, []string) (map[string]string, error) {
					panic("the batch panics")
				}, patience, Error, Value, Panicked)
			},
		},
		Case{
			Name: "batch-goexit", Title: "Goexit", What: "the load calls runtime.Goexit", Want: all,
			run: fails(func(context.Context, []string) (map[string]string, error) {
				runtime.Goexit()
				return nil, nil
			}),
		},
		Case{
			Name: "batch-hang", Title: "hang", What: "the load never returns; the callers' deadlines pass",
			Want: "every caller returns at its deadline, and the keys work again",
			run: func(t *trial) bool {
				return t.batch(func(context.Context, []string) (map[string]string, error) {
					_, err := t.hang()
					return nil, err
				}, 0, Deadline, Value)
			},
		},
		Case{
			Name: "batch-missing", Title: "one is missing",
			What: "the load finds nine of the ten. n of 10: the number of values that come; " +
				"zero: the tenth is \"\"",
			Want: "callers get the nine",
			run:  oneIsMissing,
		},
		Case{
			Name: "batch-joined", Title: "one hangs",
			What: "a load of one of the keys by itself hangs; the callers' deadlines pass. " +
				"9 of 10, 10 of 10: the number of values that come; fewer: a caller gets less than nine",
			Want: "callers return at their deadlines; better, with the other nine",
			run:  oneHangs,
		},
	)
}

// fetchMany starts a caller of the batch. optional need not be among the values.
func (t *trial) fetchMany(optional string) *caller {
	return t.call(func(ctx context.Context) (string, error) {
		values, err := t.cache.FetchMany(ctx, slices.Clone(batchKeys))
		return batchValue(values, err, optional)
	})
}

// batchValue returns newValue for a batch with all values, "" for one that lacks values although
// there is no error, and the error otherwise.
func batchValue(values map[string]string, err error, optional string) (string, error) {
	missing := 0
	for _, k := range batchKeys {
		switch v, ok := values[k]; {
		case ok && v == "" && err == nil:
			return "", nil
		case v != "" && !right(k, v):
			return "", errWrong
		case v == "" && k != optional:
			missing++
		}
	}
	switch {
	case missing == 0:
		return newValue, nil
	case err == nil:
		return "", nil
	}
	return "", err
}

// batch lets the first batch load go wrong, with all callers waiting.
func (t *trial) batch(f manyLoader, d time.Duration, wanted ...Outcome) bool {
	strike := make(chan struct{})
	started := make(chan struct{})
	t.many = func(ctx context.Context, keys []string, n int) (map[string]string, error) {
		if n > 1 {
			return valuesOf(keys), nil
		}
		close(started)
		t.orOver(strike)
		return f(ctx, keys)
	}
	callers := []*caller{t.fetchMany("")}
	if !begins(started) {
		return false
	}
	for range t.cfg.callers - 1 {
		callers = append(callers, t.fetchMany(""))
	}
	quiet()
	struck := time.Now()
	close(strike)
	if d == 0 {
		quiet()
	}
	settle(d, callers...)
	t.count(struck, callers, wanted...)
	t.nextBatch()
	return true
}

// nextBatch fetches the keys once more. Their load works now.
func (t *trial) nextBatch() {
	c := t.fetchMany("")
	settle(patience, c)
	if t.result.Next = c.seen(); t.result.Next != Value {
		t.fail("the next caller fails, too: " + reasons[t.result.Next])
	}
}

func oneIsMissing(t *trial) bool {
	t.many = func(_ context.Context, keys []string, _ int) (map[string]string, error) {
		values := valuesOf(keys)
		delete(values, badKey)
		return values, nil
	}
	got := make(chan map[string]string, 1)
	began := time.Now()
	c := t.call(func(ctx context.Context) (string, error) {
		values, err := t.cache.FetchMany(ctx, slices.Clone(batchKeys))
		got <- values
		return batchValue(values, err, badKey)
	})
	settle(patience, c)
	t.count(began, []*caller{c}, Value, Error)
	if c.seen() == Error {
		t.word = fmt.Sprintf("%d of %d", count(<-got), len(batchKeys))
		t.fail("one missing record takes the others along")
	}
	return true
}

// count returns the number of values that are there.
func count(values map[string]string) (n int) {
	for _, v := range values {
		if v != "" {
			n++
		}
	}
	return n
}

// oneHangs fetches a key of the batch by itself first.
func oneHangs(t *trial) bool {
	started := t.first(badKey, func(context.Context, int) (string, error) { return t.hang() })
	t.fetch(badKey)
	if !begins(started) {
		return false
	}
	quiet()
	fewest := atomic.Int64{} // of the values that a caller got
	fewest.Store(int64(len(batchKeys)))
	began := time.Now()
	callers := make([]*caller, t.cfg.callers)
	for i := range callers {
		callers[i] = t.call(func(ctx context.Context) (string, error) {
			values, err := t.cache.FetchMany(ctx, slices.Clone(batchKeys))
			n := int64(count(values))
			for old := fewest.Load(); n < old && !fewest.CompareAndSwap(old, n); old = fewest.Load() {
			}
			return batchValue(values, err, "")
		})
	}
	quiet()
	settle(0, callers...)
	t.count(began, callers, Value, Deadline, Error)
	if t.result.Callers[Hang]+t.result.Callers[Zero] > 0 {
		return true
	}
	t.word = "fewer"
	if n := int(fewest.Load()); n >= len(batchKeys)-1 {
		t.word = fmt.Sprintf("%d of %d", n, len(batchKeys))
	}
	return true
}
