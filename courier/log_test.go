package courier_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// A recorder is a slog.Handler that keeps the lines: "WARN a key backs off".
type recorder struct {
	level slog.Level

	mu    sync.Mutex
	lines []string
	attrs []map[string]string
}

func (r *recorder) Enabled(_ context.Context, l slog.Level) bool { return l >= r.level }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler           { return r }
func (r *recorder) WithGroup(string) slog.Handler                { return r }

func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	attrs := make(map[string]string)
	record.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value.String()
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, record.Level.String()+" "+record.Message)
	r.attrs = append(r.attrs, attrs)
	return nil
}

// take returns the lines and their attributes so far, and forgets them.
func (r *recorder) take() (lines []string, attrs []map[string]string) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	lines, attrs, r.lines, r.attrs = r.lines, r.attrs, nil, nil
	return lines, attrs
}

// expect fails the test unless there is one line since the last call, with these attributes.
func (r *recorder) expect(t *testing.T, line string, attrs map[string]string) {
	t.Helper()
	lines, got := r.take()
	require.Equal(t, []string{line}, lines)
	for name, value := range attrs {
		require.Contains(t, got[0][name], value, name)
	}
	require.Equal(t, "users", got[0]["courier"])
}

// nothing fails the test if there is a line since the last call.
func (r *recorder) nothing(t *testing.T) {
	t.Helper()
	lines, _ := r.take()
	require.Empty(t, lines)
}

// logged makes a courier whose keys are shown as they are.
func logged(level slog.Level, opts ...courier.Option) (*courier.Courier[string, int], *recorder) {
	r := &recorder{level: level}
	return courier.New[string, int](append([]courier.Option{
		courier.WithName("users"), courier.WithLogger(slog.New(r)),
		courier.WithKeyText(func(key any) string { return fmt.Sprintf("<%v>", key) }),
	}, opts...)...), r
}

// each calls do three times, of which one call is logged, and again ten seconds later, which is
// logged with the number of the calls in between.
func each(t *testing.T, r *recorder, line string, attrs map[string]string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	r.expect(t, line, attrs)
	do()
	do()
	r.nothing(t)
	require.Less(t, time.Since(began), 10*time.Second)
	time.Sleep(10*time.Second - time.Since(began))
	do()
	lines, got := r.take()
	require.Equal(t, []string{line}, lines)
	require.Equal(t, "2", got[0]["suppressed"])
}

func dies(context.Context) (int, error) { panic("boom") }

func TestLogsPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := logged(slog.LevelInfo)
		each(t, r, "ERROR a function panicked", map[string]string{"key": "<k>", "error": "boom"}, func() {
			_, _, err := c.Do(t.Context(), "k", dies)
			require.Error(t, err)
		})
		time.Sleep(time.Minute)
		_, _, err := c.Do(t.Context(), "k", func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(context.Context) error { panic("child") })
			<-ctx.Done()
			return 0, nil
		})
		require.Error(t, err)
		_, attrs := r.take()
		require.Contains(t, attrs[0]["error"], "child")
		require.NotContains(t, attrs[0], "stack")
	})
}

// Only a handler that wants debug lines gets stacks.
func TestLogsStacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := logged(slog.LevelDebug, courier.WithTimeout(time.Second))
		_, _, err := c.Do(t.Context(), "k", dies)
		require.Error(t, err)
		r.expect(t, "ERROR a function panicked", map[string]string{"stack": "courier_test.dies"})
	})
}

func TestLogsGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := logged(slog.LevelInfo)
		each(t, r, "ERROR a function called runtime.Goexit", map[string]string{"key": "<k>"}, func() {
			_, _, err := c.Do(t.Context(), "k", func(context.Context) (int, error) {
				runtime.Goexit()
				return 0, nil
			})
			require.ErrorIs(t, err, courier.ErrGoexit)
		})
	})
}

func TestLogsTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := logged(slog.LevelInfo, courier.WithTimeout(2*time.Second))
		waits := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, nil }
		each(t, r, "WARN a flight timed out", map[string]string{
			"key": "<k>", "error": "after 2s with 1 caller waiting",
		}, func() {
			_, _, err := c.Do(t.Context(), "k", waits)
			require.ErrorIs(t, err, courier.ErrTimeout)
		})
		time.Sleep(time.Minute)
		c.DoMany(t.Context(), []string{"a", "b"},
			func(ctx context.Context, _ []string) ([]courier.Outcome[int], error) {
				<-ctx.Done()
				return nil, nil
			})
		r.expect(t, "WARN a flight timed out", map[string]string{"keys": "2"})
	})
}

func TestLogsBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := logged(slog.LevelInfo, courier.WithBackoff(time.Second, time.Minute))
		fails := func(context.Context) (int, error) { return 0, errors.New("down") }
		works := func(context.Context) (int, error) { return 1, nil }
		begins := time.Now()
		_, _, err := c.Do(t.Context(), "k", fails)
		require.Error(t, err)
		r.expect(t, "WARN a key backs off", map[string]string{"key": "<k>", "error": "down"})
		for range 3 { // the same rest, which only grows
			time.Sleep(time.Minute)
			_, _, err = c.Do(t.Context(), "k", fails)
			require.Error(t, err)
			require.NotErrorAs(t, err, new(*courier.BackoffError))
		}
		require.Greater(t, time.Since(begins), 10*time.Second)
		r.nothing(t)
		time.Sleep(time.Minute)
		_, _, err = c.Do(t.Context(), "k", works)
		require.NoError(t, err)
		r.expect(t, "INFO a key no longer backs off", map[string]string{"key": "<k>", "failures": "4"})
		_, _, err = c.Do(t.Context(), "k", works)
		require.NoError(t, err)
		r.nothing(t)

		n := 0
		each(t, r, "WARN a key backs off", map[string]string{"error": "down"}, func() {
			n++
			_, _, err := c.Do(t.Context(), strconv.Itoa(n), fails)
			require.Error(t, err)
		})
	})
}

// A key is given up when as many of its functions hang as may, and works again when a probe
// succeeds or functions return.
func TestLogsKeysThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := logged(slog.LevelInfo, courier.WithMaxAbandoned(2, 100), courier.WithTimeout(-1+time.Hour))
		hang := make(chan struct{})
		leave := func() {
			ctx, cancel := context.WithCancel(t.Context())
			cancelled := make(chan struct{})
			go func() {
				defer close(cancelled)
				_, _, _ = c.Do(ctx, "k", func(context.Context) (int, error) { <-hang; return 0, nil })
			}()
			synctest.Wait()
			cancel()
			<-cancelled
		}
		leave()
		r.nothing(t)
		leave()
		const givenUp = "WARN functions of a key hang: it is refused, except for a probe now and then"
		r.expect(t, givenUp, map[string]string{"key": "<k>", "functions": "2"})
		works := func(context.Context) (int, error) { return 1, nil }
		_, _, err := c.Do(t.Context(), "k", works)
		require.ErrorIs(t, err, courier.ErrOverloaded)
		r.nothing(t)

		time.Sleep(time.Minute)
		_, _, err = c.Do(t.Context(), "k", works)
		require.NoError(t, err)
		r.expect(t, "INFO a key works again, and is no longer refused", map[string]string{"key": "<k>"})
		_, _, err = c.Do(t.Context(), "k", works)
		require.NoError(t, err)
		r.nothing(t)

		leave()
		leave()
		r.expect(t, givenUp, nil)
		time.Sleep(time.Minute)
		close(hang)
		r.expect(t, "INFO a key works again, and is no longer refused", nil)
	})
}

func TestLogsThatAllHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := logged(slog.LevelInfo, courier.WithMaxAbandoned(1, 2), courier.WithTimeout(time.Hour))
		hang := make(chan struct{})
		defer close(hang)
		for _, key := range []string{"a", "b"} {
			ctx, cancel := context.WithCancel(t.Context())
			left := make(chan struct{})
			go func() {
				defer close(left)
				_, _, _ = c.Do(ctx, key, func(context.Context) (int, error) { <-hang; return 0, nil })
			}()
			synctest.Wait()
			cancel()
			<-left
		}
		_, _ = r.take() // the keys that were given up
		works := func(context.Context) (int, error) { return 1, nil }
		each(t, r, "WARN a limit is reached, and callers are refused", map[string]string{
			"key": "<c>", "limit": "too many abandoned functions still run",
		}, func() {
			for range 2 { // the first may be a probe, which is refused later
				if _, _, err := c.Do(t.Context(), "c", dies); errors.Is(err, courier.ErrOverloaded) {
					return
				}
				_, _ = r.take()
			}
			t.Error("not refused")
		})
		time.Sleep(time.Minute)
		_, _, err := c.Do(t.Context(), "c", works)
		require.NoError(t, err)
		r.expect(t, "INFO functions return again: keys are no longer refused because of others that hang",
			nil)
	})
}

func TestLogsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const line = "WARN a limit is reached, and callers are refused"
		for option, opt := range map[string]courier.Option{
			"WithMaxWaiting":       courier.WithMaxWaiting(1),
			"WithMaxWaitingPerKey": courier.WithMaxWaitingPerKey(1),
		} {
			c, r := logged(slog.LevelInfo, opt, courier.WithTimeout(time.Hour))
			over := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _, err := c.Do(t.Context(), "k", func(context.Context) (int, error) { <-over; return 0, nil })
				assert.NoError(t, err)
			}()
			synctest.Wait()
			each(t, r, line, map[string]string{"key": "<k>", "limit": option}, func() {
				_, _, err := c.Do(t.Context(), "k", nil)
				require.ErrorIs(t, err, courier.ErrOverloaded)
			})
			time.Sleep(time.Minute)
			c.DoMany(t.Context(), []string{"k"}, nil)
			r.expect(t, line, map[string]string{"key": "<k>", "limit": option})
			close(over)
			<-done
		}

		c, r := logged(slog.LevelInfo, courier.WithMaxConcurrent(1), courier.WithQueueWait(time.Second),
			courier.WithTimeout(time.Hour))
		over := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _, err := c.Do(t.Context(), "k", func(context.Context) (int, error) { <-over; return 0, nil })
			assert.NoError(t, err)
		}()
		synctest.Wait()
		each(t, r, line, map[string]string{"key": "<other>", "limit": "WithQueueWait"}, func() {
			_, _, err := c.Do(t.Context(), "other", nil)
			require.ErrorIs(t, err, courier.ErrOverloaded)
		})
		time.Sleep(time.Minute)
		c.DoMany(t.Context(), []string{"a"}, nil)
		r.expect(t, line, map[string]string{"key": "<a>", "limit": "WithQueueWait"})
		close(over)
		<-done
	})
}

// Without WithKeyText no key is in the log.
func TestLogsNoKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		c := courier.New[string, int](courier.WithLogger(slog.New(r)), courier.WithTimeout(time.Second),
			courier.WithBackoff(time.Second, time.Second), courier.WithMaxAbandoned(1, 1),
			courier.WithName("users"))
		hang := make(chan struct{})
		defer close(hang)
		_, _, err := c.Do(t.Context(), "secret", func(context.Context) (int, error) { <-hang; return 0, nil })
		require.ErrorIs(t, err, courier.ErrTimeout)
		_, _, err = c.Do(t.Context(), "secret", dies)
		require.Error(t, err)
		lines, attrs := r.take()
		require.Len(t, lines, 3) // a time-out, a key that is given up and backs off
		for _, a := range attrs {
			require.Equal(t, c.KeyText("secret"), a["key"])
			require.True(t, strings.HasPrefix(a["key"], "#"))
			for _, value := range a {
				require.NotContains(t, value, "secret")
			}
		}
	})
}

// A handler that blocks, and a function of WithKeyText that does, stall no caller.
func TestLogHandlerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		calls := 0
		c := courier.New[string, int](courier.WithBackoff(time.Second, time.Second),
			courier.WithLogger(slog.New(blocking{&recorder{}, func() { calls++; <-hang }})))
		for range 5 {
			_, _, err := c.Do(t.Context(), "k", dies)
			require.Error(t, err)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		require.Equal(t, 1, calls, "calls at a time")
		require.NoError(t, c.Shutdown(t.Context()))
		close(hang)
	})
}

type blocking struct {
	slog.Handler
	block func()
}

func (b blocking) Handle(context.Context, slog.Record) error { b.block(); return nil }
