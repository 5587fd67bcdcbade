package courier_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

type (
	manyFunc = func(context.Context, []string) ([]courier.Outcome[int], error)
	outcomes = []courier.Outcome[int]
)

// lengths answers with the length of each key.
func lengths(_ context.Context, missing []string) (outcomes, error) {
	o := make(outcomes, len(missing))
	for i, key := range missing {
		o[i].Value = len(key)
	}
	return o, nil
}

// lengthsAfter does so after d.
func lengthsAfter(d time.Duration) manyFunc {
	return func(ctx context.Context, missing []string) (outcomes, error) {
		time.Sleep(d)
		return lengths(ctx, missing)
	}
}

// whole makes a function of many keys from one that answers for all of them alike.
func whole(fetch fetchFunc) manyFunc {
	return func(ctx context.Context, missing []string) (outcomes, error) {
		v, err := fetch(ctx)
		if err != nil {
			return nil, err
		}
		return slices.Repeat(outcomes{{Value: v}}, len(missing)), nil
	}
}

// A crowd is a caller of DoMany.
type crowd struct {
	wg       sync.WaitGroup
	outcomes outcomes
	after    time.Duration
}

// many has a goroutine call DoMany, and returns when it waits or has its answer.
func many(
	t *testing.T, ctx context.Context, c *courier.Courier[string, int], keys []string, fetch manyFunc,
) *crowd {
	t.Helper()
	h := &crowd{}
	start := time.Now()
	h.wg.Go(func() {
		h.outcomes = c.DoMany(ctx, keys, fetch)
		h.after = time.Since(start)
	})
	synctest.Wait()
	return h
}

func (h *crowd) wait() outcomes {
	h.wg.Wait()
	return h.outcomes
}

// within returns a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func keysNamed(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "key" + strconv.Itoa(i)
	}
	return keys
}

func atRest(t *testing.T, c *courier.Courier[string, int]) {
	t.Helper()
	synctest.Wait()
	still(t, c.Stats())
	assert.NoError(t, courier.AtRest(c))
}

func TestDoMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		var asked [][]string
		fetch := func(ctx context.Context, missing []string) (outcomes, error) {
			asked = append(asked, slices.Clone(missing))
			time.Sleep(time.Second)
			o, err := lengths(ctx, missing)
			o[0].Shared = true // is ignored
			return o, err
		}
		got := c.DoMany(t.Context(), []string{"a", "bb", "a", "", "ccc", "bb", "a"}, fetch)
		assert.Equal(t, outcomes{{Value: 1}, {Value: 2}, {Value: 1}, {Value: 0}, {Value: 3}, {Value: 2},
			{Value: 1}}, got)
		assert.Equal(t, [][]string{{"a", "bb", "", "ccc"}}, asked)
		assert.Equal(t, courier.Stats{Started: 4}, c.Stats())

		for _, none := range [][]string{nil, {}} {
			assert.Empty(t, c.DoMany(t.Context(), none, fetch))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errBoom)
		for _, o := range c.DoMany(ctx, []string{"a", "b"}, fetch) {
			assert.ErrorIs(t, o.Err, context.Canceled)
			assert.ErrorIs(t, o.Err, errBoom)
		}
		assert.Len(t, asked, 1)
		assert.Equal(t, courier.Stats{Started: 4}, c.Stats())
		atRest(t, c)
	})
}

// Each of the keys that equal nothing is fetched; one that can't be compared panics in
// its caller.
func TestDoManyWithOddKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[any, int]()
		type strange struct {
			f float64
			v any
		}
		fetch := func(_ context.Context, missing []any) (outcomes, error) {
			o := make(outcomes, len(missing))
			for i := range o {
				o[i].Value = i
			}
			return o, nil
		}
		nan := math.NaN()
		keys := []any{nan, 1, nan, int64(1), strange{nan, []int{}}, "1", 1, nil}
		got := c.DoMany(t.Context(), keys, fetch)
		assert.Equal(t, outcomes{{Value: 0}, {Value: 1}, {Value: 2}, {Value: 3}, {Value: 4}, {Value: 5},
			{Value: 1}, {Value: 6}}, got)
		assert.Panics(t, func() { c.DoMany(t.Context(), []any{"a", []int{1}}, fetch) })
		assert.Equal(t, courier.Stats{Started: 7}, c.Stats())

		left := c.DoMany(within(t, time.Second), keys,
			func(ctx context.Context, _ []any) (outcomes, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
		for _, o := range left {
			assert.ErrorIs(t, o.Err, context.DeadlineExceeded)
		}
		synctest.Wait()
		assert.NoError(t, courier.AtRest(c))
	})
}

// Whatever ends the function of a batch reaches all who wait for any of its keys.
func TestDoManyFaults(t *testing.T) {
	list := faults()
	for name, n := range map[string]int{"none": 0, "too few": 2, "too many": 4} {
		list = append(list, fault{name: "outcomes: " + name,
			fetch: func(s scene, _ context.Context) (int, error) {
				<-s.fault
				return n, errNumber
			}, check: func(t *testing.T, err error) {
				assert.EqualError(t, err, fmt.Sprintf("courier: DoMany: fetch returned %d outcomes for 3 keys",
					n))
			}})
	}
	for _, f := range list {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testManyFault(t, f) })
		})
	}
}

var errNumber = errors.New("returns a wrong number of outcomes")

func testManyFault(t *testing.T, f fault) {
	c := courier.New[string, int](f.opts...)
	s := scene{make(chan struct{}), make(chan struct{})}
	keys := []string{"a", "b", "c"}
	var calls atomic.Int32
	begin := time.Now()
	ctx := context.Background()
	if f.within > 0 {
		ctx = within(t, f.within)
	}
	first := many(t, ctx, c, keys, func(ctx context.Context, missing []string) (outcomes, error) {
		calls.Add(1)
		v, err := f.fetch(s, ctx)
		if errors.Is(err, errNumber) {
			return make(outcomes, v), nil
		}
		return slices.Repeat(outcomes{{Value: v}}, len(missing)), err
	})
	second := many(t, ctx, c, []string{"c", "x", "a"}, whole(value(5)))
	singles := make(map[string]*herd)
	for _, key := range keys {
		singles[key] = callers(t, c, 2, key, f.within, nil)
	}
	require.Equal(t, courier.Stats{Started: 4, Joined: 8, InFlight: 3, Waiting: 8}, c.Stats(),
		"before the fault")
	close(s.fault)

	check := func(key string, v int, shared bool, err error) {
		t.Helper()
		if key == "x" {
			assert.NoError(t, err)
			assert.Equal(t, 5, v)
			return
		}
		if f.check == nil {
			assert.NoError(t, err)
			assert.Equal(t, f.value, v)
		} else {
			f.check(t, err)
			assert.Zero(t, v)
		}
		if f.within == 0 {
			assert.True(t, shared)
		}
	}
	for i, o := range first.wait() {
		check(keys[i], o.Value, o.Shared, o.Err)
	}
	for i, o := range second.wait() {
		check([]string{"c", "x", "a"}[i], o.Value, o.Shared, o.Err)
	}
	for key, h := range singles {
		for _, o := range h.wait() {
			check(key, o.value, o.shared, o.err)
		}
	}
	assert.Equal(t, f.at, time.Since(begin))
	synctest.Wait()
	assert.EqualValues(t, 1, calls.Load(), "calls of the function")
	// Flights are counted by key, functions and what they leave behind once.
	want := f.counts
	want.Started, want.Joined = 4, 8
	want.Timeouts *= 3
	want.Late *= 3
	want.Deserted *= 3
	if f.stuck {
		want.Abandoned = 1
	}
	assert.Equal(t, want, c.Stats(), "after the fault")

	start := time.Now()
	for _, key := range keys {
		works(t, c, key)
	}
	assert.Equal(t, outcomes{{Value: 1}, {Value: 1}, {Value: 1}}, c.DoMany(t.Context(), keys, lengths))
	assert.Zero(t, time.Since(start))
	close(s.release)
	atRest(t, c)
}

// Each key may have an error of its own.
func TestDoManyErrorsByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errMissing := errors.New("no such record")
		c := courier.New[string, int](
			courier.WithBackoff(time.Hour, time.Hour),
			courier.WithIsFailure(func(err error) bool { return !errors.Is(err, errMissing) }),
		)
		fetch := func(_ context.Context, missing []string) (outcomes, error) {
			assert.Equal(t, []string{"good", "bad", "none"}, missing)
			return outcomes{{Value: 1}, {Value: 2, Err: errBoom}, {Err: errMissing}}, nil
		}
		keys := []string{"good", "bad", "none"}
		assert.Equal(t, outcomes{{Value: 1}, {Value: 2, Err: errBoom}, {Err: errMissing}},
			c.DoMany(t.Context(), keys, fetch))

		// A key that rests is not fetched; the others are.
		got := c.DoMany(t.Context(), keys, func(_ context.Context, missing []string) (outcomes, error) {
			assert.Equal(t, []string{"good", "none"}, missing)
			return outcomes{{Value: 3}, {Value: 4}}, nil
		})
		assert.Equal(t, courier.Outcome[int]{Value: 3}, got[0])
		assert.Equal(t, courier.Outcome[int]{Value: 4}, got[2])
		var rests *courier.BackoffError
		require.ErrorAs(t, got[1].Err, &rests)
		assert.ErrorIs(t, got[1].Err, errBoom)
		refused(t, c, "bad", errBoom)
		assert.EqualValues(t, 2, c.Stats().BackedOff)

		// One error for all is one of each.
		all := c.DoMany(t.Context(), []string{"x", "y"}, whole(failing(errMissing)))
		assert.Equal(t, outcomes{{Err: errMissing}, {Err: errMissing}}, all)
		c.DoMany(t.Context(), []string{"x", "y"}, whole(failing(errBoom)))
		refused(t, c, "x", errBoom)
		refused(t, c, "y", errBoom)

		// If no key may be fetched the function is not called.
		got = c.DoMany(t.Context(), []string{"x", "bad", "y"}, nil)
		for _, o := range got {
			assert.ErrorAs(t, o.Err, &rests)
		}
		atRest(t, c)
	})
}

// Batches and single calls join each other, whatever the order.
func TestDoManyOverlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		single := callers(t, c, 1, "b", 0, sleeps(3*time.Second))
		var got [][]string
		fetch := func(d time.Duration) manyFunc {
			return func(ctx context.Context, missing []string) (outcomes, error) {
				got = append(got, slices.Clone(missing))
				return lengthsAfter(d)(ctx, missing)
			}
		}
		first := many(t, t.Context(), c, []string{"a", "b", "ccc"}, fetch(2*time.Second))
		second := many(t, t.Context(), c, []string{"ccc", "dddd", "b", "dddd"}, fetch(time.Second))
		third := many(t, t.Context(), c, []string{"dddd", "a"}, nil)
		fourth := callers(t, c, 1, "dddd", 0, nil)
		assert.Equal(t, [][]string{{"a", "ccc"}, {"dddd"}}, got)
		assert.Equal(t, courier.Stats{Started: 4, Joined: 6, InFlight: 4, Waiting: 5}, c.Stats())

		assert.Equal(t, outcome{value: 4, shared: true, after: time.Second}, fourth.one())
		assert.Equal(t, outcomes{{Value: 4, Shared: true}, {Value: 1, Shared: true}}, third.wait())
		assert.Equal(t, 2*time.Second, third.after)
		assert.Equal(t, outcome{value: 7, shared: true, after: 3 * time.Second}, single.one())
		assert.Equal(t, outcomes{{Value: 1, Shared: true}, {Value: 7, Shared: true},
			{Value: 3, Shared: true}}, first.wait())
		assert.Equal(t, outcomes{{Value: 3, Shared: true}, {Value: 4, Shared: true},
			{Value: 7, Shared: true}, {Value: 4, Shared: true}}, second.wait())
		assert.Equal(t, 3*time.Second, second.after)
		atRest(t, c)
	})
}

// A caller at its deadline gets what is there.
func TestDoManyAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		callers(t, c, 1, "quick", 0, sleeps(time.Second))
		slow := callers(t, c, 1, "slow", 0, sleeps(5*time.Second))
		keys := []string{"slow", "own", "quick", "slow", "rests"}
		h := many(t, within(t, 2*time.Second), c, keys, lengthsAfter(4*time.Second))
		joined := callers(t, c, 1, "own", 0, nil)
		got := h.wait()
		assert.Equal(t, 2*time.Second, h.after)
		for _, i := range []int{0, 1, 3, 4} {
			assert.Equal(t, context.DeadlineExceeded, got[i].Err, keys[i])
			assert.Zero(t, got[i].Value)
		}
		assert.Equal(t, courier.Outcome[int]{Value: 7, Shared: true}, got[2])
		assert.Equal(t, courier.Stats{Started: 4, Joined: 3, InFlight: 2, Waiting: 2, Late: 3,
			Deserted: 1}, c.Stats())

		// The function goes on for the key that somebody waits for.
		assert.Equal(t, outcome{value: 3, shared: true, after: 4 * time.Second}, joined.one())
		assert.Equal(t, 7, slow.one().value)
		atRest(t, c)
	})
}

// The function is cancelled when no key has a caller any more, and not before.
func TestDoManyIsCancelledWithItsLastKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		var ended time.Time
		fetch := func(ctx context.Context, _ []string) (outcomes, error) {
			<-ctx.Done()
			assert.Equal(t, context.Canceled, ctx.Err())
			ended = time.Now()
			return nil, ctx.Err()
		}
		begin := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		h := many(t, ctx, c, []string{"a", "b", "c"}, fetch)
		callers(t, c, 1, "a", 3*time.Second, nil)
		callers(t, c, 2, "c", 2*time.Second, nil)
		time.Sleep(time.Second)
		cancel()
		for _, o := range h.wait() {
			assert.ErrorIs(t, o.Err, context.Canceled)
		}
		synctest.Wait()
		assert.Equal(t, courier.Stats{Started: 3, Joined: 3, InFlight: 2, Waiting: 3, Deserted: 1},
			c.Stats())
		works(t, c, "b")
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, 1, c.Stats().InFlight)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, 3*time.Second, ended.Sub(begin))
		assert.Equal(t, courier.Stats{Started: 4, Joined: 3, Late: 2, Deserted: 3, AbandonedTotal: 1},
			c.Stats())
		atRest(t, c)
	})
}

// A late key is fetched anew by the next caller, alone or with others.
func TestDoManyLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		release := make(chan struct{})
		patient := many(t, t.Context(), c, []string{"a", "b", "c"}, whole(deaf(release)))
		callers(t, c, 1, "a", time.Second, nil).wait()
		callers(t, c, 1, "b", time.Second, nil).wait()
		assert.EqualValues(t, 2, c.Stats().Late)

		works(t, c, "a")
		got := c.DoMany(within(t, time.Second), []string{"b", "c", "d"},
			func(ctx context.Context, missing []string) (outcomes, error) {
				assert.Equal(t, []string{"b", "d"}, missing)
				assert.Equal(t, 2*time.Second, courier.LateAge(ctx))
				return lengths(ctx, missing)
			})
		assert.Equal(t, courier.Outcome[int]{Value: 1}, got[0])
		assert.Equal(t, context.DeadlineExceeded, got[1].Err)
		assert.Equal(t, courier.Outcome[int]{Value: 1}, got[2])

		assert.Equal(t, courier.Stats{Started: 6, Joined: 3, InFlight: 3, Waiting: 1, Late: 3}, c.Stats())
		close(release)
		for _, o := range patient.wait() {
			assert.Equal(t, -1, o.Value)
		}
		atRest(t, c)
	})
}

// A batch that waits for its turn is not late.
func TestDoManyInTheQueueIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1))
		callers(t, c, 1, "holder", 0, sleeps(3*time.Second))
		h := many(t, t.Context(), c, []string{"a", "b"}, lengthsAfter(2*time.Second))
		callers(t, c, 1, "a", time.Second, nil).wait()
		assert.Zero(t, c.Stats().Late)
		callers(t, c, 1, "a", 3*time.Second, nil).wait()
		assert.EqualValues(t, 1, c.Stats().Late)
		h.wait()
		assert.Equal(t, 5*time.Second, h.after)
		atRest(t, c)
	})
}

func TestDoManyWithPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d = time.Second
		c := courier.New[string, int]()
		patient := courier.ContextWithPatience(t.Context(), d)
		callers(t, c, 1, "late", 0, sleeps(6*time.Second))
		callers(t, c, 1, "late", d, nil).wait()
		callers(t, c, 1, "old", 0, sleeps(5*time.Second))
		time.Sleep(d / 2)
		callers(t, c, 1, "young", 0, sleeps(5*time.Second))
		callers(t, c, 1, "quick", 0, sleeps(d*3/4))
		time.Sleep(d / 2)

		keys := []string{"late", "old", "young", "quick", "own"}
		var asked [][]string
		fetch := func(ctx context.Context, missing []string) (outcomes, error) {
			asked = append(asked, slices.Clone(missing))
			return lengthsAfter(3*d)(ctx, missing)
		}
		h := many(t, patient, c, keys, fetch)
		for i, o := range h.wait() {
			if keys[i] == "quick" {
				assert.Equal(t, courier.Outcome[int]{Value: 7, Shared: true}, o)
			} else {
				assert.ErrorIs(t, o.Err, courier.ErrLate, keys[i])
				assert.Zero(t, o.Value)
			}
		}
		assert.Equal(t, d, h.after, "until its own is so old")
		// The two that were late already have fresh ones behind.
		assert.Equal(t, [][]string{{"late", "old", "own"}}, asked)
		assert.Equal(t, 6, c.Stats().InFlight)

		h = many(t, patient, c, keys, func(ctx context.Context, missing []string) (outcomes, error) {
			asked = append(asked, slices.Clone(missing))
			return lengthsAfter(d/2)(ctx, missing)
		})
		for i, o := range h.wait() {
			if keys[i] == "quick" {
				assert.Equal(t, courier.Outcome[int]{Value: 5}, o)
			} else {
				assert.ErrorIs(t, o.Err, courier.ErrLate, keys[i])
			}
		}
		assert.Equal(t, d/2, h.after)
		assert.Equal(t, []string{"young", "quick", "own"}, asked[1])
		time.Sleep(time.Minute)
		assert.EqualValues(t, 6, c.Stats().Late)
		assert.Zero(t, c.Stats().Deserted)
		atRest(t, c)
	})
}

// A batch of which each key is passed by, or left, goes on alone, and ends in each of
// the ways in which it can.
func TestBatchThatGoesOnAlone(t *testing.T) {
	const d = time.Second
	hang := func(ctx context.Context, _ []string) (outcomes, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, tc := range []struct {
		name  string
		fetch manyFunc
		check func(t *testing.T, c *courier.Courier[string, int])
		want  courier.Stats
	}{
		{"succeeds", lengthsAfter(2 * d), nil, courier.Stats{Started: 2, Late: 2}},
		{"times out", hang, nil, courier.Stats{Started: 2, Late: 2, Timeouts: 2, AbandonedTotal: 1}},
		{"is shut down", hang, func(t *testing.T, c *courier.Courier[string, int]) {
			assert.NoError(t, c.Shutdown(t.Context()))
		}, courier.Stats{Started: 2, Late: 2, AbandonedTotal: 1}},
		{"is forgotten", hang, func(t *testing.T, c *courier.Courier[string, int]) {
			c.Forget("a")
			synctest.Wait()
			assert.Equal(t, 1, c.Stats().InFlight)
			c.Forget("b")
			synctest.Wait()
			assert.Zero(t, c.Stats().InFlight)
		}, courier.Stats{Started: 2, Late: 2, Deserted: 2, AbandonedTotal: 1}},
		{"is replaced, and goes on", lengthsAfter(5 * d),
			func(t *testing.T, c *courier.Courier[string, int]) {
				works(t, c, "a")
				assert.Equal(t, 2, c.Stats().InFlight)
			}, courier.Stats{Started: 3, Late: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int]()
				ctx := courier.ContextWithPatience(t.Context(), d)
				for _, o := range c.DoMany(ctx, []string{"a", "b"}, tc.fetch) {
					assert.ErrorIs(t, o.Err, courier.ErrLate)
				}
				if tc.check != nil {
					tc.check(t, c)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				assert.Equal(t, tc.want, c.Stats())
				atRest(t, c)
			})
		})
	}

	// A fresh one behind late flights, forgotten before anybody has waited for it.
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		callers(t, c, 1, "a", 0, sleeps(5*d))
		time.Sleep(2 * d)
		got := c.DoMany(courier.ContextWithPatience(t.Context(), d), []string{"a"}, hang)
		assert.ErrorIs(t, got[0].Err, courier.ErrLate)
		assert.Equal(t, 2, c.Stats().InFlight)
		c.Forget("a")
		synctest.Wait()
		assert.Equal(t, 1, c.Stats().InFlight)
		time.Sleep(5 * d)
		atRest(t, c)
	})
}

// What nobody waits for can be forgotten while its batch is about to start. The race
// detector looks at this one.
func TestForgetWhileABatchStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d, keys = time.Second, 2000
		c := courier.New[int, int]()
		hang := func(ctx context.Context, _ []int) ([]courier.Outcome[int], error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var late sync.WaitGroup
		for key := range keys {
			late.Go(func() {
				_, _, err := c.Do(t.Context(), key, func(context.Context) (int, error) {
					time.Sleep(5 * d)
					return key, nil
				})
				assert.NoError(t, err)
			})
		}
		time.Sleep(2 * d)
		patient := courier.ContextWithPatience(t.Context(), d)
		for key := range keys {
			var forgets sync.WaitGroup
			forgets.Go(func() {
				for c.Stats().InFlight == keys {
					runtime.Gosched()
				}
				c.Forget(key)
			})
			assert.ErrorIs(t, c.DoMany(patient, []int{key}, hang)[0].Err, courier.ErrLate)
			forgets.Wait()
			synctest.Wait()
			assert.Equal(t, keys, c.Stats().InFlight)
		}
		late.Wait()
		assert.NoError(t, c.Shutdown(t.Context()))
		assert.NoError(t, courier.AtRest(c))
	})
}

func TestDoManyForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithBackoff(time.Hour, time.Hour))
		h := many(t, t.Context(), c, []string{"a", "b"},
			func(context.Context, []string) (outcomes, error) {
				time.Sleep(time.Second)
				return nil, errBoom
			})
		c.Forget("a")
		works(t, c, "a")
		for _, o := range h.wait() {
			assert.Equal(t, errBoom, o.Err, "it goes on for those who wait")
		}
		works(t, c, "a") // what was forgotten says nothing of its key
		refused(t, c, "b", errBoom)
		c.ForgetAll()
		works(t, c, "b")
		atRest(t, c)
	})
}

func TestDoManyShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		release := make(chan struct{})
		h := many(t, t.Context(), c, keysNamed(100), whole(deaf(release)))
		single := callers(t, c, 1, "key7", 0, nil)
		var left *courier.ShutdownError
		assert.ErrorAs(t, c.Shutdown(within(t, time.Second)), &left)
		assert.Equal(t, 1, left.Abandoned, "functions")
		for _, o := range h.wait() {
			assert.Equal(t, courier.ErrClosed, o.Err)
		}
		assert.Equal(t, courier.ErrClosed, single.one().err)
		assert.Equal(t, courier.Stats{Started: 100, Joined: 1, Abandoned: 1, AbandonedTotal: 1},
			c.Stats())
		for _, o := range c.DoMany(t.Context(), keysNamed(3), nil) {
			assert.Equal(t, courier.ErrClosed, o.Err)
		}
		time.AfterFunc(time.Second, func() { close(release) })
		assert.NoError(t, c.Shutdown(t.Context()))
		assert.NoError(t, courier.AtRest(c), "the keys' books are closed before Shutdown returns")
		atRest(t, c)
	})
}

// Shutdown meets callers of DoMany at whatever point they are.
func TestDoManyRacesWithShutdown(t *testing.T) {
	for range 100 {
		c := courier.New[string, int](courier.WithTimeout(time.Minute))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				hang := func(ctx context.Context, _ []string) (outcomes, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				for _, o := range c.DoMany(context.Background(), keysNamed(50), hang) {
					assert.Equal(t, courier.ErrClosed, o.Err)
				}
			})
		}
		assert.NoError(t, c.Shutdown(context.Background()))
		wg.Wait()
		assert.NoError(t, c.Shutdown(context.Background()))
		still(t, c.Stats())
		require.NoError(t, courier.AtRest(c))
	}
}

// Nor do time-outs that are over before all have boarded.
func TestDoManyWithTheShortestTimeout(t *testing.T) {
	c := courier.New[string, int](courier.WithTimeout(1), courier.WithMaxAbandoned(1000, 1000))
	for range 100 {
		for _, o := range c.DoMany(context.Background(), keysNamed(50), lengths) {
			if o.Err != nil {
				assert.ErrorIs(t, o.Err, courier.ErrTimeout)
			}
		}
	}
	require.NoError(t, c.Shutdown(context.Background()))
	require.NoError(t, courier.AtRest(c))
}

// The function counts once where functions are counted.
func TestDoManyTakesOneTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(2))
		h := many(t, t.Context(), c, keysNamed(10), lengthsAfter(time.Second))
		other := callers(t, c, 1, "other", 0, sleeps(time.Second))
		third := many(t, t.Context(), c, []string{"x", "y"}, lengthsAfter(time.Second))
		assert.Equal(t, time.Second, other.one().after)
		h.wait()
		assert.Equal(t, time.Second, h.after)
		third.wait()
		assert.Equal(t, 2*time.Second, third.after)
		atRest(t, c)
	})
}

// A batch that does not get its turn says so of each of its keys.
func TestDoManyWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithQueueWait(time.Second))
		callers(t, c, 1, "holder", 0, sleeps(5*time.Second))
		h := many(t, t.Context(), c, []string{"a", "b"}, nil)
		joined := callers(t, c, 1, "b", 0, nil)
		got := h.wait()
		overloaded(t, got[0].Err, "a", courier.QueueWait)
		overloaded(t, got[1].Err, "b", courier.QueueWait)
		overloaded(t, joined.one().err, "b", courier.QueueWait)
		assert.EqualValues(t, 2, c.Stats().Overloads)

		// Nor one that is left, or shut down, meanwhile.
		h = many(t, within(t, time.Second/2), c, []string{"a", "b"}, nil)
		assert.Equal(t, context.DeadlineExceeded, h.wait()[0].Err)
		h = many(t, t.Context(), c, []string{"a", "b"}, nil)
		assert.NoError(t, c.Shutdown(t.Context()))
		assert.Equal(t, courier.ErrClosed, h.wait()[1].Err)
		atRest(t, c)
	})
}

// The same for one whose turn was lent.
func TestDoManyWaitsToGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithQueueWait(2*time.Second))
		h := many(t, t.Context(), c, []string{"a", "b"},
			func(ctx context.Context, missing []string) (outcomes, error) {
				_, _, _ = c.Do(ctx, "inner", sleeps(time.Second))
				assert.Error(t, ctx.Err())
				return lengths(ctx, missing)
			})
		callers(t, c, 1, "thief", 0, sleeps(5*time.Second))
		got := h.wait()
		assert.Equal(t, 3*time.Second, h.after)
		overloaded(t, got[0].Err, "a", courier.QueueWait)
		overloaded(t, got[1].Err, "b", courier.QueueWait)
		time.Sleep(time.Minute)
		atRest(t, c)
	})
}

// A nested call lends the turn of the flight that it is made in, once.
func TestDoManyNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1))
		outer := func(ctx context.Context, missing []string) (outcomes, error) {
			inner := c.DoMany(ctx, []string{"x", "yy", "x"},
				func(ctx context.Context, missing []string) (outcomes, error) {
					v, _, err := c.Do(ctx, "deep", sleeps(time.Second))
					assert.NoError(t, err)
					assert.Equal(t, 7, v)
					return lengthsAfter(time.Second)(ctx, missing)
				})
			assert.Equal(t, outcomes{{Value: 1}, {Value: 2}, {Value: 1}}, inner)
			assert.Empty(t, c.DoMany(ctx, nil, nil))
			return lengthsAfter(time.Second)(ctx, missing)
		}
		h := many(t, t.Context(), c, []string{"a", "b"}, outer)
		assert.Equal(t, outcomes{{Value: 1}, {Value: 1}}, h.wait())
		assert.Equal(t, 3*time.Second, h.after)
		atRest(t, c)
	})
}

// WithMaxWaiting counts a caller once, WithMaxWaitingPerKey for each key.
func TestDoManyAndTheLimitsOfCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxWaiting(3), courier.WithMaxWaitingPerKey(2))
		h := many(t, t.Context(), c, []string{"a", "b", "c"}, lengthsAfter(time.Second))
		callers(t, c, 1, "a", 0, nil)
		assert.Equal(t, 2, c.Stats().Waiting)

		got := c.DoMany(within(t, time.Second/2), []string{"a", "b", "x"}, lengths)
		overloaded(t, got[0].Err, "a", courier.KeyWaiting)
		assert.Equal(t, context.DeadlineExceeded, got[1].Err)
		assert.Equal(t, 1, got[2].Value, "the other keys are none the worse")
		assert.Equal(t, 2, c.Stats().Waiting)

		callers(t, c, 1, "other", 0, sleeps(time.Second))
		for i, o := range c.DoMany(t.Context(), []string{"c", "y"}, nil) {
			overloaded(t, o.Err, []string{"c", "y"}[i], courier.Waiting)
		}
		assert.EqualValues(t, 3, c.Stats().Overloads)
		overloaded(t, refusal(t, c, "y"), "y", courier.Waiting)

		// Low priority is not refused.
		low := many(t, courier.ContextWithLowPriority(t.Context()), c, []string{"a", "y"}, lengths)
		assert.Equal(t, outcomes{{Value: 1, Shared: true}, {Value: 1}}, low.wait())
		h.wait()
		time.Sleep(time.Second)
		atRest(t, c)

		// One who got nothing to wait for does not count.
		for range 2 {
			callers(t, c, 1, "full", 0, sleeps(time.Second))
		}
		got = c.DoMany(t.Context(), []string{"full"}, nil)
		overloaded(t, got[0].Err, "full", courier.KeyWaiting)
		assert.Equal(t, 2, c.Stats().Waiting)
		callers(t, c, 1, "x", 0, value(1))
		time.Sleep(time.Second)
		atRest(t, c)
	})
}

// A stuck batch counts once in all and for each of its keys, until it ends or they work.
func TestDoManyThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxAbandoned(2, 3), courier.WithTimeout(time.Second))
		release := make(chan struct{})
		keys := []string{"a", "b", "c"}
		for range 2 {
			for _, o := range c.DoMany(t.Context(), keys, whole(deaf(release))) {
				assert.ErrorIs(t, o.Err, courier.ErrTimeout)
			}
		}
		assert.Equal(t, 2, c.Stats().Abandoned)
		overloaded(t, refusal(t, c, "a"), "a", courier.KeyStuck)
		got := c.DoMany(t.Context(), []string{"b", "x", "c"},
			func(ctx context.Context, missing []string) (outcomes, error) {
				assert.Equal(t, []string{"x"}, missing)
				return lengths(ctx, missing)
			})
		overloaded(t, got[0].Err, "b", courier.KeyStuck)
		overloaded(t, got[2].Err, "c", courier.KeyStuck)
		assert.Equal(t, 1, got[1].Value)
		assert.EqualValues(t, 3, c.Stats().Overloads)

		// The third is the last in all; then one may try, for all of its keys.
		c.DoMany(t.Context(), []string{"d", "e"}, whole(deaf(release)))
		for i, o := range c.DoMany(t.Context(), []string{"x", "y"}, nil) {
			overloaded(t, o.Err, []string{"x", "y"}[i], courier.Stuck)
		}
		time.Sleep(time.Second)
		assert.Equal(t, outcomes{{Value: 1}, {Value: 1}, {Value: 1}},
			c.DoMany(t.Context(), []string{"x", "y", "b"}, lengths))
		assert.Equal(t, outcomes{{Value: 1}, {Value: 1}},
			c.DoMany(t.Context(), []string{"x", "b"}, lengths))
		close(release)
		synctest.Wait()
		works(t, c, "a")
		works(t, c, "c")
		atRest(t, c)
	})
}

// A key that its caller has left counts as stuck while the function runs on for others.
func TestDoManyKeyThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxAbandoned(1, 10))
		h := many(t, within(t, time.Second), c, []string{"a", "b"}, lengthsAfter(3*time.Second))
		stays := callers(t, c, 1, "b", 0, nil)
		h.wait()
		overloaded(t, refusal(t, c, "a"), "a", courier.KeyStuck)
		assert.Zero(t, c.Stats().Abandoned, "the function is wanted")
		assert.Equal(t, 1, stays.one().value)
		works(t, c, "a")
		atRest(t, c)
	})
}

// Functions that return while their children hang have not shown that their keys work.
func TestDoManyWithAHangingChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxAbandoned(2, 100))
		release := make(chan struct{})
		fetch := func(ctx context.Context, missing []string) (outcomes, error) {
			courier.Go(ctx, func(context.Context) error { <-release; return nil })
			return lengths(ctx, missing)
		}
		for range 2 {
			assert.Equal(t, outcomes{{Value: 1}, {Value: 1}},
				c.DoMany(t.Context(), []string{"a", "b"}, fetch))
		}
		assert.Equal(t, 2, c.Stats().Abandoned)
		overloaded(t, refusal(t, c, "a"), "a", courier.KeyStuck)
		overloaded(t, refusal(t, c, "b"), "b", courier.KeyStuck)
		close(release)
		synctest.Wait()
		works(t, c, "a")
		atRest(t, c)

		// A child that is started when all have gone counts by itself.
		var kept context.Context
		c.DoMany(t.Context(), []string{"a", "b"},
			func(ctx context.Context, missing []string) (outcomes, error) {
				kept = ctx //nolint:fatcontext // kept on purpose
				return lengths(ctx, missing)
			})
		late := make(chan struct{})
		courier.Go(kept, func(context.Context) error { <-late; return nil })
		assert.Equal(t, 1, c.Stats().Abandoned)
		var left *courier.ShutdownError
		assert.ErrorAs(t, c.Shutdown(within(t, time.Second)), &left)
		close(late)
		assert.NoError(t, c.Shutdown(t.Context()))
		atRest(t, c)
	})
}

// A batch with low priority yields to others, until somebody joins one of its keys.
func TestDoManyWithLowPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1),
			courier.WithBackoff(time.Hour, time.Hour))
		low := courier.ContextWithLowPriority(t.Context())
		var order []string
		fetch := func(_ context.Context, missing []string) (outcomes, error) {
			order = append(order, missing...)
			time.Sleep(time.Second)
			return nil, errBoom
		}
		callers(t, c, 1, "holder", 0, sleeps(time.Second))
		first := many(t, low, c, []string{"a", "b"}, fetch)
		second := many(t, low, c, []string{"c", "d"}, fetch)
		many(t, t.Context(), c, []string{"e"}, fetch)
		for range 2 {
			callers(t, c, 1, "d", 0, nil)
		}
		many(t, t.Context(), c, []string{"f"}, fetch)
		assert.Equal(t, 5, c.Stats().Waiting)
		first.wait()
		second.wait()
		assert.Equal(t, []string{"e", "c", "d", "f", "a", "b"}, order)
		works(t, c, "a")
		works(t, c, "c")
		works(t, c, "d") // somebody has joined, but not begun it
		atRest(t, c)

		c = courier.New[string, int](courier.WithBackoff(time.Hour, time.Hour))
		h := many(t, low, c, []string{"a", "b"}, fetch)
		callers(t, c, 1, "b", 0, nil)
		h.wait()
		works(t, c, "a")
		works(t, c, "b")
		atRest(t, c)
	})
}

func TestUnlinkedDoMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithUnlinked())
		keys := []string{"a", "b"}
		assert.Equal(t, outcomes{{Value: 1}, {Value: 1}}, c.DoMany(t.Context(), keys, lengths))
		panics := whole(func(context.Context) (int, error) { panic("boom") })
		for range 2 { // the dead flight keeps its keys
			for _, o := range c.DoMany(within(t, time.Second), keys, panics) {
				assert.Equal(t, context.DeadlineExceeded, o.Err)
			}
		}
		assert.EqualValues(t, 1, c.Stats().Panics)
		h := many(t, t.Context(), c, keys, nil)
		assert.NoError(t, c.Shutdown(t.Context()))
		for _, o := range h.wait() {
			assert.Equal(t, courier.ErrClosed, o.Err)
		}
		atRest(t, c)
	})
}

// The context of a batch is that of a flight.
func TestDoManyContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(time.Minute))
		ctx := context.WithValue(within(t, time.Second), contextKey{}, "value")
		var kept context.Context
		c.DoMany(ctx, []string{"a", "b", "c"},
			func(ctx context.Context, missing []string) (outcomes, error) {
				kept = ctx //nolint:fatcontext // kept on purpose
				assert.Equal(t, "value", ctx.Value(contextKey{}))
				deadline, _ := ctx.Deadline()
				assert.Equal(t, time.Now().Add(time.Minute), deadline)
				assert.Equal(t, "courier.Flight(a and 2 more)", fmt.Sprint(ctx))
				assert.Zero(t, courier.LateAge(ctx))
				return lengths(ctx, missing)
			})
		<-kept.Done()
		assert.Equal(t, context.Canceled, kept.Err())
		c.DoMany(ctx, []string{"a"}, func(ctx context.Context, missing []string) (outcomes, error) {
			assert.Equal(t, "courier.Flight(a)", fmt.Sprint(ctx))
			return lengths(ctx, missing)
		})
		atRest(t, c)
	})
}

// A cycle is an error of the key that closes it, alone, and names the keys.
func TestDoManyDeadlocks(t *testing.T) {
	cycle := func(t *testing.T, err error, want ...any) {
		t.Helper()
		assert.Equal(t, want, cycleOf(t, err))
	}
	t.Run("a batch asks for its own keys", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := courier.New[string, int]()
			got := c.DoMany(t.Context(), []string{"a", "b"},
				func(ctx context.Context, missing []string) (outcomes, error) {
					_, _, err := c.Do(ctx, "b", nil)
					cycle(t, err, "b", "b")
					inner := c.DoMany(ctx, []string{"a", "xx", "b"}, lengths)
					cycle(t, inner[0].Err, "a", "a")
					assert.Equal(t, courier.Outcome[int]{Value: 2}, inner[1])
					cycle(t, inner[2].Err, "b", "b")
					return lengths(ctx, missing)
				})
			assert.Equal(t, outcomes{{Value: 1, Shared: true}, {Value: 1, Shared: true}}, got)
			assert.EqualValues(t, 3, c.Stats().Deadlocks)
			atRest(t, c)
		})
	})
	t.Run("a load asks for its own key among others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := courier.New[string, int](courier.WithMaxConcurrent(1))
			v, _, err := c.Do(t.Context(), "a", func(ctx context.Context) (int, error) {
				got := c.DoMany(ctx, []string{"x", "a", "y"}, lengths)
				cycle(t, got[1].Err, "a", "a")
				return got[0].Value + got[2].Value, nil
			})
			assert.NoError(t, err)
			assert.Equal(t, 2, v)
			got := c.DoMany(t.Context(), []string{"p"},
				func(ctx context.Context, missing []string) (outcomes, error) {
					cycle(t, c.DoMany(ctx, []string{"p"}, nil)[0].Err, "p", "p")
					return lengths(ctx, missing)
				})
			assert.NoError(t, got[0].Err)
			atRest(t, c)
		})
	})
	t.Run("a load asks through a batch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := courier.New[string, int]()
			_, _, err := c.Do(t.Context(), "a", func(ctx context.Context) (int, error) {
				got := c.DoMany(ctx, []string{"x", "y"},
					func(ctx context.Context, missing []string) (outcomes, error) {
						_, _, err := c.Do(ctx, "a", nil)
						cycle(t, err, "a", "x", "a")
						return lengths(ctx, missing)
					})
				return got[1].Value, got[1].Err
			})
			assert.NoError(t, err)
			atRest(t, c)
		})
	})
	t.Run("batches that wait for each other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := courier.New[string, int]()
			gate := make(chan struct{})
			var errs [2]error
			asking := func(i int, key string) manyFunc {
				return func(ctx context.Context, missing []string) (outcomes, error) {
					<-gate
					time.Sleep(time.Duration(i) * time.Second)
					got := c.DoMany(ctx, []string{"free" + key, key}, lengths)
					assert.NoError(t, got[0].Err)
					errs[i] = got[1].Err
					return lengths(ctx, missing)
				}
			}
			first := many(t, t.Context(), c, []string{"a1", "a2"}, asking(0, "b2"))
			second := many(t, t.Context(), c, []string{"b1", "b2"}, asking(1, "a1"))
			close(gate)
			first.wait()
			second.wait()
			assert.NoError(t, errs[0])
			cycle(t, errs[1], "a1", "b2", "a1")
			atRest(t, c)
		})
	})
	t.Run("no cycle: two callers want each other's keys", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := courier.New[string, int]()
			outer := courier.New[string, int]()
			fetch := func(keys ...string) fetchFunc {
				return func(ctx context.Context) (int, error) {
					for _, o := range c.DoMany(ctx, keys, lengthsAfter(time.Second)) {
						assert.NoError(t, o.Err)
					}
					return 0, nil
				}
			}
			first := callers(t, outer, 1, "first", 0, fetch("a", "b"))
			second := callers(t, outer, 1, "second", 0, fetch("b", "c", "a"))
			third := callers(t, outer, 1, "third", 0, fetch("c", "a"))
			assert.Equal(t, time.Second, first.one().after)
			assert.Equal(t, time.Second, second.one().after)
			assert.Equal(t, time.Second, third.one().after)
			assert.Zero(t, c.Stats().Deadlocks)
			atRest(t, c)
		})
	})
}

// Many keys, nearly all of which would close a cycle: one walk of the graph for all.
func TestDoManyDeadlocksOfManyKeys(t *testing.T) {
	c := courier.New[string, int]()
	keys := keysNamed(20_000)
	got := c.DoMany(t.Context(), keys, func(ctx context.Context, missing []string) (outcomes, error) {
		for _, o := range c.DoMany(ctx, keys, nil) {
			if !errors.Is(o.Err, courier.ErrDeadlock) {
				return nil, errBoom
			}
		}
		return lengths(ctx, missing)
	})
	for _, o := range got {
		require.NoError(t, o.Err)
	}
}

func TestDoManyOfManyKeys(t *testing.T) {
	c := courier.New[string, int]()
	keys := keysNamed(100_000)
	joined := make(chan struct{})
	var wg sync.WaitGroup
	got := make([]outcomes, 3)
	for i := range got {
		wg.Go(func() {
			got[i] = c.DoMany(t.Context(), keys[i*1000:],
				func(ctx context.Context, missing []string) (outcomes, error) {
					<-joined
					return lengths(ctx, missing)
				})
		})
	}
	for s := c.Stats(); s.Started+s.Joined < uint64(3*len(keys)-3000); s = c.Stats() {
		time.Sleep(time.Millisecond)
	}
	close(joined)
	wg.Wait()
	for i := range got {
		for j, o := range got[i] {
			require.NoError(t, o.Err)
			require.Equal(t, len(keys[i*1000+j]), o.Value)
		}
	}
	assert.EqualValues(t, len(keys), c.Stats().Started)
	require.NoError(t, c.Shutdown(t.Context()))
	require.NoError(t, courier.AtRest(c))
}

// What a batch had is garbage when it is over, even if its context is kept.
func TestNothingKeepsTheValuesOfABatch(t *testing.T) {
	type big [1 << 16]byte
	c := courier.New[int, *big](courier.WithTimeout(time.Hour))
	var kept []context.Context
	var seen []weak.Pointer[big]
	for range 10 {
		load := func(ctx context.Context, _ []int) ([]courier.Outcome[*big], error) {
			kept = append(kept, ctx)
			return []courier.Outcome[*big]{{Value: new(big)}, {Value: new(big)}}, nil
		}
		got := c.DoMany(t.Context(), []int{1, 2, 1}, load)
		seen = append(seen, weak.Make(got[0].Value), weak.Make(got[1].Value))
	}
	left := func() (n int) {
		for _, p := range seen {
			if p.Value() != nil {
				n++
			}
		}
		return n
	}
	for i := 0; i < 100 && left() > 0; i++ {
		runtime.GC()
	}
	assert.Zero(t, left())
	runtime.KeepAlive(c)
	runtime.KeepAlive(kept)
}

// A batch pays for its keys with space in slices, not with an allocation for each.
func TestAllocationsOfDoMany(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	c := courier.New[string, int]()
	for _, n := range []int{1, 100, 10_000} {
		keys := keysNamed(n)
		answer := make(outcomes, n)
		//nolint:unparam // as the type of such functions wants
		fetch := func(context.Context, []string) (outcomes, error) { return answer, nil }
		c.DoMany(t.Context(), keys, fetch) // the shards' tables grow
		assert.LessOrEqual(t, testing.AllocsPerRun(10, func() { c.DoMany(t.Context(), keys, fetch) }),
			100.0, "%d keys", n)
	}
}

// Keys for which a caller has nothing else to give are waited for as usual, in the same
// batch as those for which it has.
func TestManyWithPatienceForSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[int, int]()
		calls := 0
		ctx := courier.ContextWithPatienceFor(t.Context(), time.Second,
			func(i int) bool { return i%2 == 0 })
		start := time.Now()
		got := c.DoMany(ctx, []int{10, 11, 12},
			func(_ context.Context, keys []int) ([]courier.Outcome[int], error) {
				calls++
				time.Sleep(3 * time.Second)
				out := make([]courier.Outcome[int], len(keys))
				for i, k := range keys {
					out[i].Value = k
				}
				return out, nil
			})
		require.Equal(t, 3*time.Second, time.Since(start))
		require.ErrorIs(t, got[0].Err, courier.ErrLate)
		require.Equal(t, courier.Outcome[int]{Value: 11}, got[1])
		require.ErrorIs(t, got[2].Err, courier.ErrLate)
		require.Equal(t, 1, calls)
		require.Zero(t, c.Stats().Waiting)
		require.NoError(t, c.Shutdown(t.Context()))
	})
}

// WithMaxBatch splits what is to be fetched, and a part that fails is alone.
func TestMaxBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[int, int](courier.WithMaxBatch(2), courier.WithMaxConcurrent(2))
		release := make(chan struct{})
		go func() {
			_, _, _ = c.Do(context.Background(), 1, func(context.Context) (int, error) {
				<-release
				return 100, nil
			})
		}()
		synctest.Wait()
		var mu sync.Mutex
		var batches [][]int
		time.AfterFunc(10*time.Second, func() { close(release) })
		start := time.Now()
		got := c.DoMany(t.Context(), []int{0, 1, 2, 3, 4, 5},
			func(_ context.Context, keys []int) ([]courier.Outcome[int], error) {
				mu.Lock()
				batches = append(batches, keys)
				mu.Unlock()
				time.Sleep(time.Second)
				if keys[0] == 3 {
					panic(errBoom)
				}
				out := make([]courier.Outcome[int], len(keys))
				for i, k := range keys {
					out[i].Value = k
				}
				return out, nil
			})
		require.Equal(t, 10*time.Second, time.Since(start))
		require.ElementsMatch(t, [][]int{{0, 2}, {3, 4}, {5}}, batches)
		for i, o := range got {
			switch i {
			case 1:
				require.Equal(t, 100, o.Value)
			case 3, 4:
				require.ErrorIs(t, o.Err, errBoom)
			default:
				require.Equal(t, courier.Outcome[int]{Value: i}, o)
			}
		}
		require.NoError(t, c.Shutdown(t.Context()))
	})
}
