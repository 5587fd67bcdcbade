package courier_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

type (
	manyFunc = func(context.Context, []string) ([]courier.Outcome[int], error)
	outcomes = []courier.Outcome[int]
)

// lengths returns the length of each key.
func lengths(_ context.Context, missing []string) (outcomes, error) {
	o := make(outcomes, len(missing))
	for i, key := range missing {
		o[i].Value = len(key)
	}
	return o, nil
}

// lengthsAfter returns a function that returns the result of lengths after d.
func lengthsAfter(d time.Duration) manyFunc {
	return func(ctx context.Context, missing []string) (outcomes, error) {
		time.Sleep(d)
		return lengths(ctx, missing)
	}
}

// whole makes a function of many keys from one that returns the same for all of them.
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

// many calls DoMany in a goroutine, and returns when that waits or has returned.
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

// Each key that does not equal itself is fetched; one that can't be compared panics in its caller.
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

// All waiters of all keys get the outcome of a batch, however its function ends.
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
	// Flights are counted by key; functions, also abandoned ones, once.
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

		// An error of the whole batch is an error of each key.
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

// The context of a batch behaves like that of a flight.
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
