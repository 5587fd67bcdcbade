package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

var (
	errNotFound = errors.New("no such thing")
	errOther    = errors.New("something else")
)

func TestLoadErrors(t *testing.T) {
	deadlock := fmt.Errorf("wrapped: %w", &courier.DeadlockError{Cycle: []any{"x", "y", "x"}})
	panicked := &courier.PanicError{Value: fmt.Errorf("boom: %w", errNotFound),
		Stack: []byte("goroutine 7:\nmain.load\n")}
	for name, c := range map[string]struct {
		err   error
		kind  LoadKind
		text  string
		stack string
		is    []error
	}{
		"plain": {errors.New("disk full"), Failed, "failed: disk full", "", nil},
		"sentinel": {fmt.Errorf("x: %w", errNotFound), Failed, "failed: x: no such thing", "",
			[]error{errNotFound}},
		"two": {errors.Join(errNotFound, errOther), Failed, "no such thing\nsomething else", "",
			[]error{errNotFound, errOther}},
		"panic": {panicked, Panicked, "panicked: boom: no such thing", "goroutine 7:\nmain.load\n",
			[]error{errNotFound}},
		"goexit": {courier.ErrGoexit, Goexited, "runtime.Goexit", "", []error{courier.ErrGoexit}},
		"deadlock": {deadlock, Deadlocked, "would have waited for itself", "",
			[]error{courier.ErrDeadlock}},
		"timeout": {courier.ErrTimeout, TimedOut, "timed out", "",
			[]error{courier.ErrTimeout, context.DeadlineExceeded}},
		"deadline": {context.DeadlineExceeded, TimedOut, "timed out", "",
			[]error{context.DeadlineExceeded}},
		"no record": {
			fmt.Errorf("x: %w", cache.ErrNotFound), NotFound, "found no record: x: cache: not found", "",
			[]error{cache.ErrNotFound},
		},
		"panic with that": {
			&courier.PanicError{Value: cache.ErrNotFound}, Panicked, "panicked: cache: not found", "", nil,
		},
		"canceled": {context.Canceled, Failed, "canceled", "", []error{context.Canceled}},
		"backoff": {&courier.BackoffError{Err: errNotFound, Until: time.Now()}, BackedOff, "backs off",
			"", []error{errNotFound}},
		"backoff of a panic": {
			&courier.BackoffError{Err: panicked, Until: time.Now()}, BackedOff, "backs off",
			"goroutine 7:\nmain.load\n",
			[]error{errNotFound},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := configA(), configB()
			a.Errors = map[string]error{"not-found": errNotFound, "other": errOther}
			b.Errors = a.Errors
			n := connect(t, http1, a, b, backend{fetch: fails(c.err)})
			_, err := n.fetch(t.Context(), "the key\n")
			var e *LoadError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, c.kind, e.Kind)
			assert.Equal(t, "b", e.Node)
			assert.Equal(t, "the key\n", e.Key)
			assert.Equal(t, c.stack, e.Stack)
			assert.Contains(t, err.Error(), c.text)
			assert.True(t, strings.HasPrefix(err.Error(), `cluster: load of key "the key\n" on node "b" `),
				"%v", err)
			for _, is := range append(commonErrors[:], errNotFound, errOther) {
				assert.Equal(t, contains(c.is, is), errors.Is(err, is), "%v", is)
			}
			assert.Equal(t, Refused{}, n.server.Refused(), "it is an answer")
		})
	}
}

func contains(list []error, err error) bool {
	for _, e := range list {
		if errors.Is(err, e) && errors.Is(e, err) {
			return true
		}
	}
	return false
}

// An error whose name only the owner knows is sent all the same.
func TestSentinelThatIsNotKnown(t *testing.T) {
	b := configB()
	b.Errors = map[string]error{"new": errNotFound}
	n := connect(t, http1, configA(), b, backend{fetch: fails(errNotFound)})
	_, err := n.fetch(t.Context(), "k")
	var e *LoadError
	require.ErrorAs(t, err, &e)
	assert.NotErrorIs(t, err, errNotFound)
	assert.Equal(t, "no such thing", e.Message)
}

// An error that is sent has a bounded size, whatever the size of its text, its stack and the key.
func TestLargeLoadErrors(t *testing.T) {
	long := strings.Repeat("ü", 1<<20)
	b := configB()
	b.Errors = make(map[string]error)
	for i := range 2 * maxNames {
		b.Errors[strings.Repeat("n", 60)+fmt.Sprintf("%04d", i)] = errNotFound
	}
	panicked := &courier.PanicError{Value: long, Stack: []byte(long)}
	n := connect(t, http1, configA(), b, backend{fetch: fails(errors.Join(errNotFound, panicked))})
	_, err := n.fetch(t.Context(), strings.Repeat("k", 3000))
	var e *LoadError
	require.ErrorAs(t, err, &e)
	for text, limit := range map[string]int{e.Message: maxText, e.Stack: maxStack} {
		assert.LessOrEqual(t, len(text), limit)
		assert.Greater(t, len(text), limit-utf8.UTFMax-len("…"))
		assert.True(t, utf8.ValidString(text))
		assert.True(t, strings.HasSuffix(text, "ü…"))
	}
	assert.Less(t, len(err.Error()), maxText+1000)
	assert.Contains(t, err.Error(), "(3000 bytes)")
}

func TestShorten(t *testing.T) {
	assert.Equal(t, "abc", shorten("abc", 3))
	assert.Equal(t, "a…", shorten("abcde", 4))
	assert.Equal(t, "…", shorten("üüüü", 4))
	assert.Equal(t, "ü…", shorten("üüüü", 5))
	assert.Len(t, shorten(strings.Repeat("\xff", 100), 50), 50-utf8.UTFMax+1)
}

// logged collects what a logger writes.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A panic of the Backend itself is answered too.
func TestBackendPanics(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			var log logged
			n := connectWith(t, p, &log, func() { panic("of the backend") })
			_, err := n.fetch(t.Context(), "k")
			var e *LoadError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, Panicked, e.Kind)
			assert.Equal(t, "of the backend", e.Message)
			assert.Contains(t, e.Stack, "TestBackendPanics")
			assert.Contains(t, log.String(), "level=WARN")
			assert.Contains(t, log.String(), "from=a")

			_, err = n.client.Exchange(t.Context(), n.to, []byte("m"))
			unavailable(t, err, Rubbish)
			assert.ErrorContains(t, err, "panicked: of the backend")
			require.NoError(t, n.server.Close(t.Context()), "no request is left")
		})
	}
}

// A Backend that calls Goexit, or aborts the answer, leaves nothing behind.
func TestBackendBreaksOff(t *testing.T) {
	for _, p := range bothProtocols {
		for name, f := range map[string]func(){"goexit": runtime.Goexit,
			"abort": func() { panic(http.ErrAbortHandler) }} {
			t.Run(fmt.Sprintf("%s/%s", p, name), func(t *testing.T) {
				var log logged
				n := connectWith(t, p, &log, f)
				_, err := n.fetch(t.Context(), "k")
				unavailable(t, err, Lost)
				assert.Equal(t, name == "goexit", strings.Contains(log.String(), "level=WARN"))
				require.NoError(t, n.server.Close(t.Context()), "no request is left")
			})
		}
	}
}

// connectWith makes a pair whose Backend calls f.
func connectWith(tb testing.TB, p protocol, log *logged, f func()) *pair {
	tb.Helper()
	b := configB()
	b.Logger = slog.New(slog.NewTextHandler(log, nil))
	return connect(tb, p, configA(), b, backend{
		fetch: func(context.Context, string, string, []byte) (Value,
			error) {
			f()
			return Value{}, nil
		},
		exchange: func(context.Context, string, []byte) ([]byte, error) { f(); return nil, nil },
	})
}

func TestLoadKinds(t *testing.T) {
	seen := make(map[string]bool)
	for k := Failed; k <= NotFound; k++ {
		assert.NotContains(t, k.String(), "LoadKind")
		assert.False(t, seen[k.String()], k)
		seen[k.String()] = true
	}
	assert.Equal(t, "LoadKind(99)", LoadKind(99).String())
}

// Only the exact bytes of encodeLoadError decode: none may be missing, and none added.
func TestLoadErrorsThatCannotBeRead(t *testing.T) {
	good := encodeLoadError(errNotFound, map[string]error{"a": errNotFound})
	_, err := decodeLoadError(good, nil)
	require.NoError(t, err)
	for n := range good {
		_, err := decodeLoadError(good[:n], nil)
		require.ErrorIs(t, err, errLoadWire, "the first %d bytes", n)
	}
	for name, b := range map[string][]byte{
		"a byte more":  append(append([]byte(nil), good...), 0),
		"kind":         {byte(NotFound) + 1, 0, 0, 0, 0},
		"unknown bits": {byte(Failed), 1 << len(commonErrors), 0, 0, 0},
		"many names":   append([]byte{byte(Failed), 0, 0, 0, maxNames + 1}, make([]byte, maxNames+1)...),
	} {
		_, err := decodeLoadError(b, nil)
		require.ErrorIs(t, err, errLoadWire, name)
	}
}
