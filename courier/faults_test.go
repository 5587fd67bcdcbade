package courier_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

var errBoom = errors.New("boom")

// scene holds the signals for a faulty function: fault is closed when all callers wait, and release
// at the end of the test.
type scene struct{ fault, release chan struct{} }

type fault struct {
	name   string
	opts   []courier.Option
	within time.Duration // the callers' deadline
	fetch  func(s scene, ctx context.Context) (int, error)

	value  int
	check  func(*testing.T, error)
	at     time.Duration // when the callers get it
	stuck  bool          // the function outlives its flight
	counts courier.Stats // without Started and Joined
}

func is(target error) func(*testing.T, error) {
	return func(t *testing.T, err error) { t.Helper(); assert.ErrorIs(t, err, target) }
}

func isPanic(value any) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var p *courier.PanicError
		if assert.ErrorAs(t, err, &p) {
			assert.Equal(t, value, p.Value)
			assert.NotEmpty(t, p.Stack)
		}
	}
}

// child returns a function that waits for a linked child, which has a fault.
func child(f func(context.Context) error) func(scene, context.Context) (int, error) {
	return func(s scene, ctx context.Context) (int, error) {
		courier.Go(ctx, func(ctx context.Context) error {
			<-s.fault
			return f(ctx)
		})
		<-s.release // for an answer of the child that does not come
		return -1, nil
	}
}

func faults() []fault {
	const limit = 3 * time.Second
	return []fault{
		{
			name:  "none",
			fetch: func(s scene, _ context.Context) (int, error) { <-s.fault; return 7, nil },
			value: 7,
		},
		{
			name:   "panic",
			fetch:  func(s scene, _ context.Context) (int, error) { <-s.fault; panic("boom") },
			check:  isPanic("boom"),
			counts: courier.Stats{Panics: 1},
		},
		{
			name: "panic(nil)",
			fetch: func(s scene, _ context.Context) (int, error) {
				<-s.fault
				panicsHere(nil)
				return 0, nil
			},
			check:  isPanic(new(runtime.PanicNilError)),
			counts: courier.Stats{Panics: 1},
		},
		{
			name:   "panic of an error",
			fetch:  func(s scene, _ context.Context) (int, error) { <-s.fault; panic(errBoom) },
			check:  is(errBoom),
			counts: courier.Stats{Panics: 1},
		},
		{
			name: "Goexit",
			fetch: func(s scene, _ context.Context) (int, error) {
				<-s.fault
				runtime.Goexit()
				return 0, nil
			},
			check:  is(courier.ErrGoexit),
			counts: courier.Stats{Goexits: 1},
		},
		{
			name:  "error",
			fetch: func(s scene, _ context.Context) (int, error) { <-s.fault; return 8, errBoom },
			value: 8,
			check: is(errBoom),
		},
		{
			name:   "hang, time-out of the flight",
			opts:   []courier.Option{courier.WithTimeout(limit)},
			fetch:  func(s scene, _ context.Context) (int, error) { <-s.release; return -1, nil },
			check:  is(courier.ErrTimeout),
			at:     limit,
			stuck:  true,
			counts: courier.Stats{Timeouts: 1, AbandonedTotal: 1},
		},
		{
			name:   "hang, callers with deadlines",
			within: limit,
			fetch:  func(s scene, _ context.Context) (int, error) { <-s.release; return -1, nil },
			check:  is(context.DeadlineExceeded),
			at:     limit,
			stuck:  true,
			counts: courier.Stats{Late: 1, Deserted: 1, AbandonedTotal: 1},
		},
		{
			name:   "hang, both, the callers more patient",
			opts:   []courier.Option{courier.WithTimeout(limit)},
			within: 2 * limit,
			fetch:  func(s scene, _ context.Context) (int, error) { <-s.release; return -1, nil },
			check:  is(courier.ErrTimeout),
			at:     limit,
			stuck:  true,
			counts: courier.Stats{Timeouts: 1, AbandonedTotal: 1},
		},
		{
			name:  "slow",
			opts:  []courier.Option{courier.WithTimeout(limit)},
			fetch: func(_ scene, _ context.Context) (int, error) { time.Sleep(limit - 1); return 9, nil },
			value: 9,
			at:    limit - 1,
		},
		{
			name:   "panic of a linked child",
			fetch:  child(func(context.Context) error { panic(errBoom) }),
			check:  is(errBoom),
			stuck:  true,
			counts: courier.Stats{Panics: 1, AbandonedTotal: 1},
		},
		{
			name:   "Goexit of a linked child",
			fetch:  child(func(context.Context) error { runtime.Goexit(); return nil }),
			check:  is(courier.ErrGoexit),
			stuck:  true,
			counts: courier.Stats{Goexits: 1, AbandonedTotal: 1},
		},
		{
			name:   "error of a linked child",
			fetch:  child(func(context.Context) error { return errBoom }),
			check:  is(errBoom),
			stuck:  true,
			counts: courier.Stats{AbandonedTotal: 1},
		},
		{
			name: "panic of a linked grandchild",
			fetch: child(func(ctx context.Context) error {
				courier.Go(ctx, func(context.Context) error { panic("boom") })
				return nil
			}),
			check:  isPanic("boom"),
			stuck:  true,
			counts: courier.Stats{Panics: 1, AbandonedTotal: 1},
		},
		{
			name: "a linked child that is fine",
			fetch: func(s scene, ctx context.Context) (int, error) {
				got := make(chan int)
				courier.Go(ctx, func(context.Context) error { <-s.fault; got <- 5; return nil })
				v := <-got
				time.Sleep(time.Nanosecond) // lets the child return first
				return v, nil
			},
			value: 5,
			at:    time.Nanosecond,
		},
	}
}

func TestFaults(t *testing.T) {
	for _, f := range faults() {
		for _, n := range []int{1, 2, 1000} {
			t.Run(fmt.Sprintf("%s/%d", f.name, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testFault(t, f, n) })
			})
		}
	}
}

func testFault(t *testing.T, f fault, n int) {
	c := courier.New[string, int](f.opts...)
	s := scene{make(chan struct{}), make(chan struct{})}
	var calls atomic.Int32

	h := callers(t, c, n, "key", f.within, func(ctx context.Context) (int, error) {
		calls.Add(1)
		return f.fetch(s, ctx)
	})
	require.Equal(t, courier.Stats{Started: 1, Joined: uint64(n - 1), InFlight: 1, Waiting: n},
		c.Stats(), "before the fault")
	close(s.fault)

	for i, o := range h.wait() {
		if f.check == nil {
			assert.NoError(t, o.err)
		} else {
			f.check(t, o.err)
		}
		assert.Equal(t, f.value, o.value)
		assert.Equal(t, f.at, o.after)
		if f.within == 0 {
			assert.Equal(t, n > 1, o.shared)
		}
		if t.Failed() {
			t.Fatalf("caller %d got %+v", i, o)
		}
	}
	synctest.Wait()
	assert.EqualValues(t, 1, calls.Load(), "calls of the function")
	want := f.counts
	want.Started, want.Joined = 1, uint64(n-1)
	if f.stuck {
		want.Abandoned = 1
	}
	assert.Equal(t, want, c.Stats(), "after the fault")

	start := time.Now()
	works(t, c, "key") // while the old function may still be stuck
	assert.Zero(t, time.Since(start))
	close(s.release)
	synctest.Wait()
	want.Started, want.Abandoned = 2, 0
	assert.Equal(t, want, c.Stats(), "at the end")
	works(t, c, "key")
	assert.EqualValues(t, 1, calls.Load(), "calls of the function")
}
