package cache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
	"github.com/snowfence/snowfence/courier"
)

// A lockedBuffer can be written by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// take returns the lines so far, and forgets them.
func (b *lockedBuffer) take() []string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	text := strings.TrimSpace(b.b.String())
	b.b.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// Stale values are logged once in ten seconds, with the reason, for single keys and batches; and
// the cache's courier logs to the same logger.
func TestLogsStaleValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b lockedBuffer
		c := newCache(t, cache.Options[string, int]{
			TTL: time.Minute, StaleFor: time.Hour, SoftTimeout: time.Second,
			Logger:  slog.New(slog.NewTextHandler(&b, nil)),
			Courier: []courier.Option{courier.WithName("users")},
		})
		c.Set("secret", 1)
		time.Sleep(2 * time.Minute)
		fetch := func(f func(context.Context, string) (int, error)) {
			t.Helper()
			v, err := c.Fetch(t.Context(), "secret", f)
			require.NoError(t, err)
			require.Equal(t, 1, v)
		}
		down := func(context.Context, string) (int, error) { return 0, errors.New("down") }
		fetch(down)
		lines := b.take()
		require.Len(t, lines, 1)
		for _, part := range []string{
			"level=WARN", `msg="a stale value was given"`, "courier=users", "key=#", "age=2m0s",
			"error=down",
		} {
			require.Contains(t, lines[0], part)
		}
		require.NotContains(t, lines[0], "secret")
		fetch(down)
		got, err := c.FetchMany(t.Context(), []string{"secret"},
			func(context.Context, []string) (map[string]int, error) { return nil, errors.New("down") })
		require.NoError(t, err)
		require.Equal(t, map[string]int{"secret": 1}, got)
		require.Empty(t, b.take())

		time.Sleep(10 * time.Second)
		fetch(func(context.Context, string) (int, error) { time.Sleep(time.Hour); return 0, nil })
		lines = b.take()
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], "suppressed=2")
		require.Contains(t, lines[0], `error="courier: the flight is late"`)
		time.Sleep(time.Minute)
		lines = b.take()
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], `msg="a flight timed out"`)
		time.Sleep(time.Hour)
	})
}

// A handler that hangs delays no caller, and not Close.
func TestLogHandlerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		c, err := cache.New(cache.Options[string, int]{
			TTL: time.Minute, StaleFor: time.Hour, Logger: slog.New(hanging{slog.DiscardHandler, hang}),
		})
		require.NoError(t, err)
		c.Set("k", 1)
		time.Sleep(2 * time.Minute)
		began := time.Now()
		for range 3 {
			_, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
				panic("boom")
			})
			require.NoError(t, err)
		}
		require.NoError(t, c.Close())
		require.Equal(t, began, time.Now())
	})
}

type hanging struct {
	slog.Handler
	on chan struct{}
}

func (h hanging) Enabled(context.Context, slog.Level) bool { <-h.on; return true }

// An outage of the second level is logged, and its end.
func TestLogsSecondLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b lockedBuffer
		s := cachetest.NewStorage(t)
		c := newCache(t, withStorage(s, cache.Options[string, string]{
			Logger: slog.New(slog.NewTextHandler(&b, nil)),
		}))
		fetch(t, c, "before", returns[string]("v"))
		require.NoError(t, c.Flush(t.Context()))
		require.Empty(t, b.take())
		s.SetFault(cachetest.StorageFault{Err: errors.New("refused")})
		for i := range 10 {
			fetch(t, c, strconv.Itoa(i), returns[string]("v"))
			time.Sleep(time.Millisecond)
		}
		lines := b.take()
		require.Len(t, lines, 1, "the others are suppressed")
		require.Contains(t, lines[0], `level=WARN msg="the second level has failed"`)
		require.Contains(t, lines[0], "error=refused")
		s.SetFault(cachetest.StorageFault{})
		time.Sleep(time.Second)
		fetch(t, c, "after", returns[string]("v"))
		require.NoError(t, c.Flush(t.Context()))
		lines = b.take()
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], `level=INFO msg="the second level works again"`)
	})
}

// A value that can't be written to the second level is logged, and its key as the courier shows it.
func TestLogsUnwritableValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b lockedBuffer
		o := withStorage(cachetest.NewStorage(t), cache.Options[string, string]{
			Logger: slog.New(slog.NewTextHandler(&b, nil)),
		})
		o.SecondLevel.MaxRecord = 100
		c := newCache(t, o)
		require.Empty(t, b.take())
		fetch(t, c, "secret", returns[string](strings.Repeat("x", 100)))
		require.NoError(t, c.Flush(t.Context()))
		lines := b.take()
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], `msg="a value can't be written to the second level"`)
		require.Contains(t, lines[0], "key=#")
		require.NotContains(t, lines[0], "secret")
	})
}
