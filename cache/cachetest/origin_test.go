package cachetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
	"github.com/snowfence/snowfence/courier"
)

var errDown = errors.New("the origin is down")

// user is the function of an origin without a record of user 404.
func user(id int) (string, error) {
	if id == 404 {
		return "", fmt.Errorf("user %d: %w", id, cache.ErrNotFound)
	}
	return fmt.Sprint("user ", id), nil
}

// outcome holds how a call of Load or LoadMany ended, and when.
type outcome[V any] struct {
	value V
	err   error // or *courier.PanicError or courier.ErrGoexit
	took  time.Duration
}

// load calls Load in a goroutine of its own.
func load(ctx context.Context, o *cachetest.Origin[int, string], id int) <-chan outcome[string] {
	return call(func() (string, error) { return o.Load(ctx, id) })
}

// loadMany calls LoadMany in a goroutine of its own.
func loadMany(
	ctx context.Context, o *cachetest.Origin[int, string], ids ...int,
) <-chan outcome[map[int]string] {
	return call(func() (map[int]string, error) { return o.LoadMany(ctx, ids) })
}

func call[V any](f func() (V, error)) <-chan outcome[V] {
	ended := make(chan outcome[V], 1)
	began := time.Now()
	go func() {
		o := outcome[V]{err: courier.ErrGoexit}
		defer func() {
			if v := recover(); v != nil {
				o.err = &courier.PanicError{Value: v}
			}
			o.took = time.Since(began)
			ended <- o
		}()
		o.value, o.err = f()
	}()
	return ended
}

// Each fault does what it says, after the latency of the call.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault cachetest.Fault
		want  outcome[string]
	}{
		{"none", cachetest.None(), outcome[string]{value: "user 7"}},
		{"zero value", cachetest.Fault{}, outcome[string]{value: "user 7"}},
		{"error", cachetest.Error(errDown), outcome[string]{err: errDown}},
		{"not found", cachetest.NotFound(), outcome[string]{err: cache.ErrNotFound}},
		{"panic", cachetest.Panic("boom"),
			outcome[string]{err: &courier.PanicError{Value: "boom"}}},
		{"panic(nil)", cachetest.Panic(nil),
			outcome[string]{err: &courier.PanicError{Value: &runtime.PanicNilError{}}}},
		{"Goexit", cachetest.Goexit(), outcome[string]{err: courier.ErrGoexit}},
		{"slow", cachetest.Slow(time.Minute), outcome[string]{value: "user 7", took: time.Minute}},
		{"error, later", cachetest.Error(errDown).After(time.Minute),
			outcome[string]{err: errDown, took: time.Minute}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := cachetest.New(t, user)
				o.Next(7, tt.fault)
				o.SetLatency(time.Second)
				tt.want.took += time.Second
				assert.Equal(t, tt.want, <-load(t.Context(), o, 7))
				assert.Equal(t, outcome[string]{value: "user 7", took: time.Second},
					<-load(t.Context(), o, 7), "the call after it")
				want := cachetest.Counts{Calls: 2, Peak: 1}
				assert.Equal(t, want, o.Counts(7))
				assert.Equal(t, want, o.Total())
			})
		})
	}
}

// A call that hangs is deaf to its context, and answers when its key is released.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := cachetest.New(t, user)
		o.Default(cachetest.Hang())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first, second, other := load(ctx, o, 1), load(ctx, o, 1), load(ctx, o, 2)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, cachetest.Counts{Calls: 2, Running: 2, Peak: 2, Hanging: 2}, o.Counts(1))
		assert.Equal(t, cachetest.Counts{Calls: 3, Running: 3, Peak: 3, Hanging: 3}, o.Total())

		o.Release(1)
		assert.Equal(t, outcome[string]{value: "user 1", took: time.Minute}, <-first)
		assert.Equal(t, outcome[string]{value: "user 1", took: time.Minute}, <-second)
		synctest.Wait()
		assert.Equal(t, cachetest.Counts{Calls: 2, Peak: 2}, o.Counts(1))
		assert.Equal(t, 1, o.Total().Hanging, "that of the other key")

		again := load(t.Context(), o, 1)
		synctest.Wait()
		assert.Equal(t, 1, o.Counts(1).Hanging, "a later call needs another Release")
		o.Release()
		assert.Equal(t, "user 1", (<-again).value)
		o.SetLatency(time.Second)
		again = load(t.Context(), o, 1)
		synctest.Wait()
		assert.Zero(t, o.Counts(1).Hanging, "it takes its latency")
		o.Release(1)
		assert.Equal(t, outcome[string]{value: "user 1", took: time.Second}, <-again)
		assert.Equal(t, "user 2", (<-other).value)
		synctest.Wait()
		assert.Equal(t, cachetest.Counts{Calls: 5, Peak: 3}, o.Total())
	})
}

// The end of the test ends the calls that hang and those that are slow.
func TestCleanup(t *testing.T) {
	var o *cachetest.Origin[int, string]
	var ended []<-chan outcome[string]
	t.Run("test", func(t *testing.T) {
		o = cachetest.New(t, user)
		o.Next(1, cachetest.Hang())
		o.Next(2, cachetest.Slow(time.Hour))
		for id := range 2 {
			ended = append(ended, load(context.Background(), o, id+1))
		}
		for o.Total().Running < 2 {
			runtime.Gosched()
		}
	})
	for _, ended := range append(ended, load(context.Background(), o, 3)) {
		assert.ErrorIs(t, (<-ended).err, cachetest.ErrClosed)
	}
	o.Close() // again
}

// The end of the context ends the latency.
func TestContextEndsTheLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := cachetest.New(t, user)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errDown)
		defer cancel()
		o.SetLatency(time.Minute)
		assert.Equal(t, outcome[string]{err: errDown, took: 3 * time.Second}, <-load(ctx, o, 7))
		o.SetLatency(0)
		o.Next(7, cachetest.Panic("not reached"))
		assert.Equal(t, outcome[string]{err: errDown}, <-load(ctx, o, 7), "it has ended before")
	})
}

// Next comes before Always, and Always before Default.
func TestScripts(t *testing.T) {
	o := cachetest.New(t, user)
	errAlways, errNext := errors.New("always"), errors.New("next")
	err := func(id int) error { return (<-load(t.Context(), o, id)).err }

	o.Default(cachetest.Error(errDown))
	o.Always(1, cachetest.Error(errAlways))
	o.Next(1, cachetest.None(), cachetest.Error(errNext))
	o.Next(1, cachetest.None())
	for _, want := range []error{nil, errNext, nil, errAlways, errAlways} {
		assert.Equal(t, want, err(1))
	}
	assert.Equal(t, errDown, err(2))
	o.Always(2, cachetest.None())
	assert.NoError(t, err(2))
	assert.Equal(t, errDown, err(3))
	o.Default(cachetest.None())
	assert.NoError(t, err(3))
	assert.Equal(t, errAlways, err(1))
}

func TestEvery(t *testing.T) {
	o := cachetest.New(t, user)
	o.Default(cachetest.Error(errDown).Every(3))
	for n := 1; n <= 9; n++ {
		for id := range 2 {
			err := (<-load(t.Context(), o, id)).err
			assert.Equal(t, n%3 == 0, err != nil, "call %d of key %d", n, id)
		}
	}
	o.Default(cachetest.Error(errDown).Every(1))
	assert.Equal(t, errDown, (<-load(t.Context(), o, 0)).err)
}

// LoadMany is one call. An error is that of a key, and every other fault that of the call.
func TestLoadMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := cachetest.New(t, user)
		o.SetLatency(time.Second)
		r := <-loadMany(t.Context(), o, 1, 2, 404)
		assert.Equal(t, outcome[map[int]string]{
			value: map[int]string{1: "user 1", 2: "user 2"}, took: time.Second}, r)
		assert.Equal(t, cachetest.Counts{Calls: 1, Peak: 1}, o.Total())
		assert.Equal(t, cachetest.Counts{Calls: 1, Peak: 1}, o.Counts(2))

		o.Next(1, cachetest.Error(errDown))
		o.Next(2, cachetest.NotFound())
		o.Next(3, cachetest.Slow(time.Minute))
		o.Next(4, cachetest.Slow(time.Hour))
		r = <-loadMany(t.Context(), o, 1, 2, 3, 4, 5)
		assert.Equal(t, map[int]string{3: "user 3", 4: "user 4", 5: "user 5"}, r.value)
		var failed *cache.ManyError[int]
		require.ErrorAs(t, r.err, &failed)
		assert.Equal(t, map[int]error{1: errDown}, failed.ByKey)
		assert.Equal(t, time.Hour+time.Second, r.took, "as long as the slowest")

		for fault, want := range map[cachetest.Fault]error{
			cachetest.Panic("boom"): &courier.PanicError{Value: "boom"},
			cachetest.Goexit():      courier.ErrGoexit,
		} {
			o.Next(3, cachetest.Error(errDown))
			o.Next(4, fault)
			r = <-loadMany(t.Context(), o, 3, 4)
			assert.Equal(t, want, r.err)
			assert.Empty(t, r.value)
		}
		assert.Zero(t, o.Total().Running)
		assert.Zero(t, o.Counts(3).Running)

		o.Next(1, cachetest.Hang())
		o.Next(2, cachetest.Hang())
		hangs := loadMany(t.Context(), o, 1, 2)
		time.Sleep(time.Second)
		synctest.Wait()
		o.Release(1)
		synctest.Wait()
		assert.Equal(t, 1, o.Total().Hanging)
		assert.Equal(t, 1, o.Counts(2).Hanging)
		o.Release(2)
		assert.Len(t, (<-hangs).value, 2)
		assert.Equal(t, time.Second, (<-loadMany(t.Context(), o, 1, 2)).took)
	})
}

// Counts are exact under concurrent use.
func TestConcurrentUse(t *testing.T) {
	o := cachetest.New(t, user)
	o.Default(cachetest.Error(errDown).Every(2))
	const workers, rounds = 8, 200
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				_, _ = o.Load(t.Context(), 1)
				_, _ = o.LoadMany(t.Context(), []int{1, 2})
				o.Next(3, cachetest.None())
				o.Always(3, cachetest.Hang())
				o.Release(3)
				o.SetLatency(0)
				_ = o.Counts(1)
			}
		})
	}
	wg.Wait()
	got := o.Counts(1)
	assert.LessOrEqual(t, got.Peak, workers)
	got.Peak = 0
	assert.Equal(t, cachetest.Counts{Calls: 2 * workers * rounds}, got)
	assert.Equal(t, 2*workers*rounds, o.Total().Calls)
	assert.Zero(t, o.Counts(99))
}

func TestMistakesAreNamed(t *testing.T) {
	o := cachetest.New(t, user)
	for want, mistake := range map[string]func(){
		"cachetest: New: value: got nil, want a function": func() { cachetest.New[int, int](t, nil) },
		"cachetest: Error(nil): want an error":            func() { cachetest.Error(nil) },
		"cachetest: Slow(-1s): want 0 or more":            func() { cachetest.Slow(-time.Second) },
		"cachetest: After(-1s): want 0 or more": func() {
			cachetest.Hang().After(-time.Second)
		},
		"cachetest: Every(0): want 1 or more":        func() { cachetest.Hang().Every(0) },
		"cachetest: SetLatency(-1s): want 0 or more": func() { o.SetLatency(-time.Second) },
	} {
		assert.PanicsWithValue(t, want, mistake)
	}
}
