package eventlog_test

import (
	"context"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/eventlog"
)

// A handler calls a function with the text and the attributes of each record.
type handler struct {
	call func(text string, attrs map[string]string)
}

func (handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	attrs := make(map[string]string)
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value.String()
		return true
	})
	h.call(r.Message, attrs)
	return nil
}

func (h handler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h handler) WithGroup(string) slog.Handler      { return h }

func none(*slog.Logger) []slog.Attr { return nil }

// add does what users of a Log do.
func add(l *eventlog.Log, kind int, text string) {
	if ok, suppressed := l.Allow(kind); ok {
		l.Add(kind, suppressed, slog.LevelWarn, text, none)
	}
}

// A line passes once in ten seconds, and says how many did not.
func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		l := eventlog.New(slog.New(handler{func(text string, attrs map[string]string) {
			lines = append(lines, text+" "+attrs["suppressed"])
		}}), 2)
		for i := range 5 {
			add(l, 0, "a"+strconv.Itoa(i))
		}
		add(l, 1, "b") // another kind
		synctest.Wait()
		require.Equal(t, []string{"a0 ", "b "}, lines)
		time.Sleep(eventlog.Every - 1)
		add(l, 0, "too early")
		time.Sleep(time.Nanosecond)
		add(l, 0, "c")
		time.Sleep(eventlog.Every)
		add(l, 0, "d")
		synctest.Wait()
		require.Equal(t, []string{"a0 ", "b ", "c 5", "d "}, lines)
	})
}

// While a call of the handler blocks no other begins, and whoever has an event does not wait. What
// does not fit into the queue is counted.
func TestHandlerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const kinds = 100
		hang := make(chan struct{})
		var mu sync.Mutex
		var lines []string
		suppressed := 0
		l := eventlog.New(slog.New(handler{func(text string, attrs map[string]string) {
			mu.Lock()
			lines = append(lines, text)
			n, _ := strconv.Atoi(attrs["suppressed"])
			suppressed += n
			mu.Unlock()
			<-hang
		}}), kinds)
		for kind := range kinds {
			add(l, kind, "first")
		}
		synctest.Wait()
		require.Equal(t, []string{"first"}, lines, "one call at a time")
		close(hang)
		synctest.Wait()
		logged := len(lines)
		require.Greater(t, logged, 20)
		require.Less(t, logged, kinds, "the queue is bounded")
		time.Sleep(eventlog.Every)
		for kind := range kinds {
			add(l, kind, "second")
			synctest.Wait()
		}
		require.Len(t, lines, logged+kinds)
		require.Equal(t, kinds-logged, suppressed)
	})
}

// A panic and a Goexit of the handler, and a panic of attrs, end one line.
func TestHandlerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		l := eventlog.New(slog.New(handler{func(text string, _ map[string]string) {
			switch text {
			case "panic":
				panic("boom")
			case "goexit":
				runtime.Goexit()
			}
			lines = append(lines, text)
		}}), 6)
		for kind, text := range []string{"a", "panic", "b", "goexit", "c"} {
			add(l, kind, text)
		}
		ok, _ := l.Allow(5)
		require.True(t, ok)
		l.Add(5, 0, slog.LevelWarn, "d", func(*slog.Logger) []slog.Attr { panic("boom") })
		synctest.Wait()
		require.Equal(t, []string{"a", "b", "c"}, lines)
		time.Sleep(eventlog.Every)
		add(l, 5, "e")
		synctest.Wait()
		require.Equal(t, []string{"a", "b", "c", "e"}, lines)
	})
}

func TestNoLogger(t *testing.T) {
	l := eventlog.New(nil, 1)
	require.Nil(t, l)
	ok, _ := l.Allow(0)
	require.False(t, ok)
}

// A Log that was made outside a bubble, where the time is later, works in one.
func TestClockOfBubble(t *testing.T) {
	lines := make(chan string, 1)
	l := eventlog.New(slog.New(handler{func(text string, _ map[string]string) {
		lines <- text
	}}), 1)
	synctest.Test(t, func(*testing.T) { add(l, 0, "a") })
	require.Equal(t, "a", <-lines)
}

func TestLimiterForgets(t *testing.T) {
	now := time.Unix(0, 0)
	l := eventlog.NewLimiter(func() time.Time { return now })
	passed := func(key string, want bool, suppressed int) {
		t.Helper()
		ok, n := l.Allow(key)
		require.Equal(t, want, ok, key)
		require.Equal(t, suppressed, n, key)
	}
	passed("a", true, 0)
	passed("a", false, 0)
	passed("b", true, 0)
	now = now.Add(eventlog.Every)
	passed("a", true, 1)
	for i := range 600 {
		passed(strconv.Itoa(i), true, 0)
	}
	passed("a", true, 0)
}
