package courier_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// The following functions are looked for in stacks.

//go:noinline
func silentQuery(ch <-chan struct{}) int {
	<-ch
	return 1
}

//go:noinline
func silentChild(ch <-chan struct{}) { <-ch }

// With the options as they come, the error of a hang says where the function and its child hang.
func TestTimeoutSaysWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		release := make(chan struct{})
		h := callers(t, &c, 3, "secret", 0, func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(context.Context) error { silentChild(release); return nil })
			return silentQuery(release), nil
		})
		for _, o := range h.wait() {
			var e *courier.TimeoutError
			require.ErrorAs(t, o.err, &e)
			assert.ErrorIs(t, o.err, courier.ErrTimeout)
			assert.ErrorIs(t, o.err, context.DeadlineExceeded)
			assert.Equal(t, "secret", e.Key)
			assert.Equal(t, courier.DefaultTimeout, e.Age)
			assert.Equal(t, 3, e.Waiters)
			assert.Regexp(t, `^courier: flight timed out after 30s with 3 callers waiting: `+
				`in courier_test.silentQuery \(timeout_test.go:\d+\), `+
				`called by courier_test.TestTimeoutSaysWhere.* \(timeout_test.go:\d+\)$`, e.Error())
			function, child, _ := strings.Cut(string(e.Stack), "\na linked child:\n")
			assert.Regexp(t, `^\S+courier_test\.silentQuery\(\.\.\.\)\n\t\S+/timeout_test.go:\d+\n`+
				`\S+courier_test\.TestTimeoutSaysWhere\S+\(\.\.\.\)\n\t\S+\n$`, function)
			assert.Regexp(t, `^\S+courier_test\.silentChild\(\.\.\.\)\n`, child)
			assert.False(t, e.Leaked())
		}
		close(release)
		synctest.Wait()
		still(t, c.Stats())
	})
}

func TestTimeoutOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithBackoff(time.Second, time.Minute))
		release := make(chan struct{})
		second := make(chan error, 1)
		go func() {
			time.Sleep(time.Second)
			_, _, err := c.Do(t.Context(), "b", value(1))
			second <- err
		}()
		keys := []string{"a", "b"}
		outcomes := c.DoMany(t.Context(), keys, func(context.Context, []string) ([]courier.Outcome[int], error) {
			silentQuery(release)
			return nil, nil
		})
		for i, o := range outcomes {
			var e *courier.TimeoutError
			require.ErrorAs(t, o.Err, &e)
			assert.Equal(t, keys[i], e.Key)
			assert.Equal(t, i+1, e.Waiters)
			assert.Contains(t, string(e.Stack), "courier_test.silentQuery")
		}
		assert.Same(t, outcomes[1].Err, <-second)

		_, _, err := c.Do(t.Context(), "a", value(1))
		var rests *courier.BackoffError
		require.ErrorAs(t, err, &rests)
		var e *courier.TimeoutError
		require.ErrorAs(t, err, &e)
		assert.Contains(t, e.Error(), "courier_test.silentQuery")
		assert.Empty(t, e.Stack, "10,000 keys may rest, for long")
		close(release)
		synctest.Wait()
		still(t, c.Stats())
	})
}

func TestTimeoutWithoutAStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(500*time.Millisecond), courier.WithMaxConcurrent(1))
		release := make(chan struct{})
		holder := callers(t, c, 1, "holder", 0, func(ctx context.Context) (int, error) {
			courier.RestartTimeout(ctx, time.Second)
			<-release
			return 1, nil
		})
		queued := callers(t, c, 1, "queued", 0, value(1))
		assert.ErrorContains(t, queued.one().err, ": waiting for its turn (WithMaxConcurrent)")
		release <- struct{}{}
		require.NoError(t, holder.one().err)

		again := callers(t, c, 1, "again", 0, deaf(release))
		err := again.one().err
		assert.ErrorContains(t, err,
			"1 caller waiting: no stack: the last goroutine profile was taken a short time ago")
		var e *courier.TimeoutError
		require.ErrorAs(t, err, &e)
		assert.Nil(t, e.Stack)
		release <- struct{}{}

		time.Sleep(time.Hour)
		assert.ErrorContains(t, callers(t, c, 1, "late", 0, deaf(release)).one().err, "in courier_test.")
		close(release)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// A function whose goroutine ends while the profile is taken succeeds, or has no stack; and one
// that has ended is not mistaken for the next that gets its label.
func TestStacksAreOfTheRightFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(time.Minute))
		release := make(chan struct{})
		orphan := make(chan struct{})
		for range 100 { // all labels of the shards are used
			_, _, err := c.Do(t.Context(), "key", func(context.Context) (int, error) {
				go silentChild(orphan) // inherits the label, and stays
				return 1, nil
			})
			require.NoError(t, err)
		}
		h := callers(t, c, 1, "key", 0, func(context.Context) (int, error) { return silentQuery(release), nil })
		var e *courier.TimeoutError
		require.ErrorAs(t, h.one().err, &e)
		assert.Contains(t, string(e.Stack), "silentQuery")
		assert.NotContains(t, string(e.Stack), "silentChild")
		close(release)
		close(orphan)
		synctest.Wait()
	})
}

// A child that is started with a context which was kept beyond the end of its flight has no label,
// since another flight may have it by then.
func TestLateChildHasNoLabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		var kept context.Context
		_, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
			kept = ctx //nolint:fatcontext // it is kept on purpose
			return 1, nil
		})
		require.NoError(t, err)
		synctest.Wait()
		release := make(chan struct{})
		for range 3 {
			courier.Go(kept, func(ctx context.Context) error {
				pprof.Do(ctx, pprof.Labels("mine", "yes"), func(context.Context) { silentChild(release) })
				return nil
			})
			synctest.Wait()
		}
		h := callers(t, &c, 1, "key", 0, deaf(release))
		var e *courier.TimeoutError
		require.ErrorAs(t, h.one().err, &e)
		assert.NotContains(t, string(e.Stack), "silentChild")
		close(release)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// The labels of a function's goroutine are those of its caller, its courier and its flight.
func TestLabels(t *testing.T) {
	labels := func(ctx context.Context) map[string]string {
		all := map[string]string{}
		pprof.ForLabels(ctx, func(key, value string) bool { all[key] = value; return true })
		return all
	}
	for name, test := range map[string]struct {
		options []courier.Option
		want    map[string]string
	}{
		"default": {nil, map[string]string{"courier": "string to map[string]string", "caller": "me"}},
		"named":   {[]courier.Option{courier.WithName("users"), courier.WithKeyText(keyText)}, map[string]string{"courier": "users", "key": "Ada", "caller": "me"}},
		"panicking text": {[]courier.Option{courier.WithName("users"), courier.WithKeyText(func(any) string {
			panic("no text")
		})}, map[string]string{"courier": "users", "key": "#", "caller": "me"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := courier.New[string, map[string]string](test.options...)
			ctx := pprof.WithLabels(t.Context(), pprof.Labels("caller", "me"))
			got, _, err := c.Do(ctx, "Ada", func(ctx context.Context) (map[string]string, error) {
				pprof.Do(ctx, pprof.Labels("step", "query"), func(context.Context) {}) // sets those of ctx
				return labels(ctx), nil
			})
			require.NoError(t, err)
			assert.NotEmpty(t, got["flight"])
			delete(got, "flight")
			if key := got["key"]; strings.HasPrefix(key, "#") {
				assert.Len(t, key, 9)
				got["key"] = "#"
			}
			assert.Equal(t, test.want, got)
		})
	}
}

// The runtime can say that a function never returns, if it was built so.
func TestLeakedFunction(t *testing.T) {
	if pprof.Lookup("goroutineleak") != nil {
		c := courier.New[string, int](courier.WithTimeout(time.Millisecond))
		_, _, err := c.Do(t.Context(), "key", func(context.Context) (int, error) {
			return silentQuery(make(chan struct{})), nil
		})
		var e *courier.TimeoutError
		require.ErrorAs(t, err, &e)
		assert.True(t, e.Leaked(), "%v", err)
		assert.ErrorContains(t, err, ", in a call that can never return: in courier_test.silentQuery")

		time.Sleep(1100 * time.Millisecond) // the rest between profiles
		release := make(chan struct{})
		_, _, err = c.Do(t.Context(), "other", func(context.Context) (int, error) {
			return silentQuery(release), nil
		})
		require.ErrorAs(t, err, &e)
		assert.False(t, e.Leaked(), "%v", err)
		close(release)
		return
	}
	if testing.Short() {
		t.Skip("-short: builds the standard library once more")
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run", "^TestLeakedFunction$", ".")
	cmd.Env = append(os.Environ(), "GOEXPERIMENT=goroutineleakprofile")
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "unknown GOEXPERIMENT") {
		t.Skip("this Go has no such experiment")
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	require.NoError(t, err, "%s", out)
}
