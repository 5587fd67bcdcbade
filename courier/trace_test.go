package courier_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// A spanLog is a Tracer that keeps what it was called with.
type spanLog struct {
	start func() // called by Start; nil: nothing
	die   string // the method that panics

	mu      sync.Mutex
	started []courier.TracedFlight
	ended   []courier.TracedEnd
	joined  []string // the names of callers
}

type callerName struct{}

func (l *spanLog) Start(
	ctx context.Context, f courier.TracedFlight,
) (context.Context, courier.Span) {
	if l.start != nil {
		l.start()
	}
	if l.die == "Start" {
		panic("boom")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started = append(l.started, f)
	return context.WithValue(ctx, callerName{}, "in flight"), spanOf{l}
}

type spanOf struct{ log *spanLog }

func (s spanOf) Joined(ctx context.Context) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	name, _ := ctx.Value(callerName{}).(string)
	s.log.joined = append(s.log.joined, name)
	if s.log.die == "Joined" {
		panic("boom")
	}
}

func (s spanOf) End(e courier.TracedEnd) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.ended = append(s.log.ended, e)
	if s.log.die == "End" {
		panic("boom")
	}
}

// ends returns the number of spans that have ended.
func (l *spanLog) ends() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ended)
}

// named returns a context of a caller with that name.
func named(t *testing.T, name string) context.Context {
	t.Helper()
	return context.WithValue(t.Context(), callerName{}, name)
}

// A flight that ends while Start runs has one End, after it.
func TestEndsWhileItsSpanStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &spanLog{start: func() { time.Sleep(time.Minute) }}
		c := courier.New[string, int](courier.WithTracer(l), courier.WithTimeout(time.Second))
		for _, o := range callers(t, c, 3, "k", 0, func(context.Context) (int, error) {
			return 1, nil
		}).wait() {
			require.ErrorIs(t, o.err, courier.ErrTimeout)
		}
		synctest.Wait()
		require.Zero(t, l.ends())
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, l.started, 1)
		require.Len(t, l.ended, 1)
		require.Len(t, l.ended[0].Joined, 2)
		require.Equal(t, courier.EndTimeout, l.ended[0].End)
		require.ErrorIs(t, l.ended[0].Err, courier.ErrTimeout)
		require.NoError(t, courier.AtRest(c))
	})
}

// Flights that end at any moment have as many ends as starts.
func TestEachSpanEndsOnce(t *testing.T) {
	l := &spanLog{}
	c := courier.New[int, int](courier.WithTracer(l))
	const flights = 2000
	var wg sync.WaitGroup
	for i := range flights {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			_, _, _ = c.Do(ctx, i, func(context.Context) (int, error) { return 1, nil })
		})
	}
	wg.Wait()
	require.NoError(t, c.Shutdown(t.Context()))
	l.mu.Lock()
	started := len(l.started)
	l.mu.Unlock()
	require.Eventually(t, func() bool { return l.ends() >= started }, time.Minute, time.Millisecond)
	require.Equal(t, started, l.ends())
}

// A panic of a method harms no flight, and the other methods are still called.
func TestTracerPanics(t *testing.T) {
	for _, method := range []string{"Start", "Joined", "End"} {
		synctest.Test(t, func(t *testing.T) {
			l := &spanLog{die: method}
			c := courier.New[string, int](courier.WithTracer(l))
			done := make(chan error, 3)
			for range cap(done) {
				go func() {
					v, shared, err := c.Do(t.Context(), "k", func(context.Context) (int, error) {
						time.Sleep(time.Second)
						return 1, nil
					})
					if v != 1 || !shared {
						err = errors.New("no value")
					}
					done <- err
				}()
			}
			for range cap(done) {
				require.NoError(t, <-done, method)
			}
			synctest.Wait()
			if method != "Start" {
				require.Len(t, l.joined, 2)
				require.Len(t, l.ended, 1)
				require.Len(t, l.ended[0].Joined, 2)
			}
			require.NoError(t, courier.AtRest(c))
		})
	}
}

// Callers that join tell the span, also those that are nested, patient or leave early; and the
// function sees the values of the context that Start returned.
func TestJoinedCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &spanLog{}
		c := courier.New[string, int](courier.WithTracer(l), courier.WithName("users"))
		done := make(chan error, 3)
		go func() {
			_, _, err := c.Do(named(t, "first"), "k", func(ctx context.Context) (int, error) {
				assert.Equal(t, "in flight", ctx.Value(callerName{}))
				time.Sleep(10 * time.Second)
				return 1, nil
			})
			done <- err
		}()
		synctest.Wait()
		require.Len(t, l.started, 1)
		require.Equal(t, "users", l.started[0].Courier)
		require.Equal(t, 1, l.started[0].Keys)
		require.Equal(t, c.KeyText("k"), l.started[0].KeyText())

		ctx, cancel := context.WithCancel(named(t, "leaves"))
		time.AfterFunc(time.Second, cancel)
		_, _, err := c.Do(ctx, "k", nil)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, []string{"leaves"}, l.joined)

		outer := courier.New[string, int]()
		go func() {
			_, _, err := outer.Do(named(t, "nested"), "outer", func(ctx context.Context) (int, error) {
				v, _, err := c.Do(courier.ContextWithLowPriority(ctx), "k", nil)
				return v, err
			})
			done <- err
		}()
		go func() { done <- c.DoMany(named(t, "many"), []string{"k", "k"}, nil)[1].Err }()
		for range cap(done) {
			require.NoError(t, <-done)
		}
		synctest.Wait()
		require.ElementsMatch(t, []string{"leaves", "nested", "many"}, l.joined)
		require.Len(t, l.ended, 1)
		require.False(t, l.ended[0].RunsOn)
		require.Equal(t, courier.EndValue, l.ended[0].End)
		require.Len(t, l.ended[0].Joined, 3)
	})
}

// A span whose End hangs delays no other flight, and not Shutdown.
func TestHangingSpans(t *testing.T) {
	block := make(chan struct{})
	for _, how := range []string{"time-out", "shutdown"} {
		t.Run(how, func(t *testing.T) {
			opts := []courier.Option{courier.WithTracer(hangingTracer{block})}
			if how == "time-out" {
				opts = append(opts, courier.WithTimeout(50*time.Millisecond))
			}
			c := courier.New[string, int](opts...)
			var all []<-chan error
			began := make(chan struct{}, 64)
			for i := range 64 {
				all = append(all, goDo(c, strconv.Itoa(i), func(ctx context.Context) (int, error) {
					began <- struct{}{}
					<-ctx.Done()
					return 1, nil
				}))
			}
			for range 64 {
				<-began
			}
			if how == "shutdown" {
				require.NoError(t, c.Shutdown(t.Context()))
			}
			for _, done := range all {
				assert.Error(t, <-done)
			}
		})
	}
	close(block)
}

type hangingTracer struct{ block chan struct{} }

func (h hangingTracer) Start(
	ctx context.Context, _ courier.TracedFlight,
) (context.Context, courier.Span) {
	return ctx, h
}
func (h hangingTracer) Joined(context.Context) {}
func (h hangingTracer) End(courier.TracedEnd)  { <-h.block }
