package singleflight_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/courier/singleflight"
	"github.com/snowfence/snowfence/internal/leak"
)

func TestMain(m *testing.M) {
	if os.Getenv("SINGLEFLIGHT_TEST_CRASH") != "" {
		var g singleflight.Group
		<-g.DoChan("key", func() (any, error) { panic("in DoChan") })
		os.Exit(0)
	}
	leak.Main(m)
}

var errOrigin = errors.New("the origin says no")

// ask calls Do in several goroutines, and returns for each the results, or the panic or Goexit
// raised in it.
func ask(g *singleflight.Group, callers int, fn func() (any, error)) []any {
	got := make([]any, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			got[i] = "goexit" // unless Do returns or panics
			defer func() {
				if r := recover(); r != nil {
					got[i] = r
				}
			}()
			v, err, shared := g.Do("key", fn)
			got[i] = fmt.Sprint(v, " ", err, " ", shared)
		})
	}
	wg.Wait()
	return got
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g singleflight.Group
		assert.Equal(t, []any{"one <nil> false"}, ask(&g, 1, func() (any, error) { return "one", nil }))
		calls := 0
		got := ask(&g, 3, func() (any, error) {
			calls++
			time.Sleep(time.Second)
			return "a value beside it", errOrigin
		})
		assert.Equal(t, 1, calls)
		for _, r := range got {
			assert.Equal(t, "a value beside it the origin says no true", r)
		}
		assert.Equal(t, []any{"<nil> <nil> false"}, ask(&g, 1, func() (any, error) { return nil, nil }))
	})
}

// Panics and Goexit reach each caller, as in x/sync or as errors.
func TestFunctionsThatDie(t *testing.T) {
	dies := map[string]func() (any, error){
		"panic":  func() (any, error) { time.Sleep(time.Second); panic(errOrigin) },
		"goexit": func() (any, error) { time.Sleep(time.Second); runtime.Goexit(); return nil, nil },
	}
	synctest.Test(t, func(t *testing.T) {
		var g singleflight.Group
		for _, r := range ask(&g, 5, dies["panic"]) {
			raised, ok := r.(error)
			var err *courier.PanicError
			if assert.True(t, ok, "%v", r) && assert.ErrorAs(t, raised, &err) {
				assert.ErrorIs(t, err, errOrigin)
				assert.Contains(t, raised.Error(), "TestFunctionsThatDie", "the stack of the function")
			}
		}
		for _, r := range ask(&g, 5, dies["goexit"]) {
			assert.Equal(t, "goexit", r)
		}
		r := <-g.DoChan("key", dies["goexit"])
		assert.Equal(t, singleflight.Result{Err: courier.ErrGoexit}, r, "from DoChan")
	})
	synctest.Test(t, func(t *testing.T) {
		g := singleflight.Group{PanicsAsErrors: true}
		for _, r := range ask(&g, 5, dies["panic"]) {
			assert.Equal(t, "<nil> courier: fetch panicked: the origin says no true", r)
		}
		for _, r := range ask(&g, 5, dies["goexit"]) {
			assert.Equal(t, fmt.Sprint("<nil> ", courier.ErrGoexit, " true"), r)
		}
		r := <-g.DoChan("key", dies["panic"])
		assert.ErrorIs(t, r.Err, errOrigin)
		assert.Equal(t, []any{"1 <nil> false"}, ask(&g, 1, func() (any, error) { return 1, nil }),
			"the key works again")
	})
}

// An error that fn returns is returned, even if another courier returned it for a function that
// panicked or called Goexit.
func TestReturnedDeaths(t *testing.T) {
	var inner courier.Courier[string, any]
	_, _, panicked := inner.Do(t.Context(), "key", func(context.Context) (any, error) { panic("inside") })
	for _, want := range []error{panicked, courier.ErrGoexit} {
		var g singleflight.Group
		_, err, _ := g.Do("key", func() (any, error) { return nil, want })
		assert.Equal(t, want, err)
		assert.Equal(t, want, (<-g.DoChan("key", func() (any, error) { return nil, want })).Err)
	}
}

// A panic of fn in DoChan has no caller to be raised in, so it ends the process, as in x/sync.
func TestPanicInDoChanEndsTheProcess(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "SINGLEFLIGHT_TEST_CRASH=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "in DoChan")
}

// When DoChan returns, its call has begun or was joined.
func TestDoChanHasBegun(t *testing.T) {
	var g singleflight.Group
	release := make(chan struct{})
	first := g.DoChan("key", func() (any, error) { <-release; return 1, nil })
	second := g.DoChan("key", func() (any, error) { return 2, nil })
	g.Forget("key")
	third := g.DoChan("key", func() (any, error) { return 3, nil })
	assert.Equal(t, singleflight.Result{Val: 3}, <-third)
	close(release)
	assert.Equal(t, singleflight.Result{Val: 1, Shared: true}, <-first)
	assert.Equal(t, singleflight.Result{Val: 1, Shared: true}, <-second)
}

// Each channel gets one result, also if it joins a call that ends at that moment.
func TestDoChanOfManyCallers(t *testing.T) {
	var g singleflight.Group
	var calls atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				r := <-g.DoChan("key", func() (any, error) { return calls.Add(1), errOrigin })
				assert.Equal(t, errOrigin, r.Err)
				assert.Positive(t, r.Val)
			}
		})
	}
	wg.Wait()
	stats := g.Courier().Stats()
	assert.EqualValues(t, calls.Load(), stats.Started)
	assert.EqualValues(t, 8*2000, stats.Started+stats.Joined)
}

// DoChan also returns if the courier refuses the call.
func TestDoChanThatIsRefused(t *testing.T) {
	var g singleflight.Group
	require.NoError(t, g.Courier().Shutdown(t.Context()))
	assert.ErrorIs(t, (<-g.DoChan("key", nil)).Err, courier.ErrClosed)
}

func TestDoContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g singleflight.Group
		type key struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "mine"), time.Second)
		defer cancel()
		ended := make(chan any, 1)
		_, err, shared := g.DoContext(ctx, "key", func(ctx context.Context) (any, error) {
			<-ctx.Done()
			ended <- ctx.Value(key{})
			return nil, ctx.Err()
		})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.False(t, shared)
		assert.Equal(t, "mine", <-ended, "the last caller has left")

		_, err, _ = g.DoContext(t.Context(), "a", func(ctx context.Context) (any, error) {
			v, err, _ := g.DoContext(ctx, "a", nil)
			return v, err
		})
		assert.ErrorIs(t, err, courier.ErrDeadlock)
	})
}

// The callers of a function that never returns get the time-out, without a value.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hang := func() (any, error) { <-release; return "late", nil }
		for g, within := range map[*singleflight.Group]time.Duration{
			{}: courier.DefaultTimeout,
			singleflight.New(courier.WithTimeout(time.Second)): time.Second,
		} {
			began := time.Now()
			v, err, _ := g.Do("key", hang)
			assert.ErrorIs(t, err, courier.ErrTimeout)
			assert.Nil(t, v)
			assert.Equal(t, within, time.Since(began))

			began = time.Now()
			r := <-g.DoChan("key", hang)
			assert.ErrorIs(t, r.Err, courier.ErrTimeout)
			assert.Nil(t, r.Val)
			assert.Equal(t, within, time.Since(began))
		}
		close(release)
	})
}

// Without a time-out callers get what the function returns, however long it takes and however many
// functions hang.
func TestNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := singleflight.New(courier.WithTimeout(0))
		release := make(chan struct{})
		hang := func() (any, error) { <-release; return "late", errOrigin }
		want := singleflight.Result{Val: "late", Err: errOrigin}
		var results []<-chan singleflight.Result
		for i := range 2 * courier.DefaultMaxAbandoned {
			results = append(results, g.DoChan(strconv.Itoa(i), hang))
		}
		for range 2 * courier.DefaultMaxAbandonedPerKey {
			results = append(results, g.DoChan("key", hang))
			g.Forget("key")
		}
		time.AfterFunc(1000*time.Hour, func() { close(release) })
		assert.Equal(t, []any{"late the origin says no false"}, ask(g, 1, hang))
		for _, r := range results {
			assert.Equal(t, want, <-r)
		}
	})
}

// Functions that run on after their time-out are bounded: further callers get an error at once,
// without a value.
func TestTooManyFunctionsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g singleflight.Group
		release := make(chan struct{})
		hang := func() (any, error) { <-release; return nil, nil }
		for range courier.DefaultMaxAbandonedPerKey {
			_, err, _ := g.Do("key", hang)
			assert.ErrorIs(t, err, courier.ErrTimeout)
		}
		began := time.Now()
		v, err, _ := g.Do("key", hang)
		assert.ErrorIs(t, err, courier.ErrOverloaded)
		assert.Nil(t, v)
		r := <-g.DoChan("key", hang)
		assert.ErrorIs(t, r.Err, courier.ErrOverloaded)
		assert.Nil(t, r.Val)
		assert.Zero(t, time.Since(began))
		close(release)
	})
}

// The function runs in a goroutine of its own, whose stack does not lead to the caller.
func TestGoroutineOfTheFunction(t *testing.T) {
	var g singleflight.Group
	outermost := func() (any, error) {
		pcs := make([]uintptr, 100)
		frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
		for last := ""; ; {
			frame, more := frames.Next()
			if frame.Function == "runtime.goexit" || !more {
				return last, nil
			}
			last = frame.Function
		}
	}
	here, err := outermost()
	require.NoError(t, err)
	require.Equal(t, "testing.tRunner", here)
	v, err, _ := g.Do("key", outermost)
	require.NoError(t, err)
	assert.Contains(t, v, "/courier.")
	assert.Contains(t, (<-g.DoChan("key", outermost)).Val, "/courier.")
}

// A call past a caller's deadline is late: the next caller calls its own function beside it. A
// caller that is cancelled leaves the call as it is.
func TestLateCall(t *testing.T) {
	for _, tc := range []struct {
		name    string
		context func(context.Context) (context.Context, context.CancelFunc)
		late    bool
	}{
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, true},
		{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g singleflight.Group
				first := g.DoChan("key", func() (any, error) { time.Sleep(3 * time.Second); return 1, nil })
				ctx, cancel := tc.context(t.Context())
				defer cancel()
				_, err, shared := g.DoContext(ctx, "key", nil)
				assert.ErrorIs(t, err, ctx.Err())
				assert.True(t, shared)

				next := g.DoChan("key", func() (any, error) { return 2, nil })
				if tc.late {
					assert.Equal(t, singleflight.Result{Val: 2}, <-next)
				} else {
					assert.Equal(t, singleflight.Result{Val: 1, Shared: true}, <-next)
				}
				assert.Equal(t, singleflight.Result{Val: 1, Shared: true}, <-first)
			})
		})
	}
}

// A caller whose context has ended starts nothing.
func TestDoContextThatHasEnded(t *testing.T) {
	var g singleflight.Group
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err, shared := g.DoContext(ctx, "key", func(context.Context) (any, error) {
		t.Error("called")
		return nil, nil
	})
	assert.ErrorIs(t, err, context.Canceled)
	assert.False(t, shared)
}

// The tests of x/sync pass with this package in place of x/sync's, except for the type of a
// recovered panic.
func TestTheTestsOfXSync(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds a package")
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}",
		"golang.org/x/sync").Output()
	require.NoError(t, err)
	theirs := filepath.Join(strings.TrimSpace(string(out)), "singleflight", "singleflight_test.go")
	require.FileExists(t, theirs)
	here, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	// One of these tests uses an unexported type of x/sync.
	shim := "package singleflight\n\ntype panicError struct{ value, stack any }\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shim.go"), []byte(shim), 0o600))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(here, "singleflight_test.go"): "", // nor this file
		filepath.Join(here, "example_test.go"):      "",
		filepath.Join(here, "xsync_test.go"):        theirs,
		filepath.Join(here, "shim_test.go"):         filepath.Join(dir, "shim.go"),
	}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-vet=off",
		"-overlay", filepath.Join(dir, "overlay.json"), ".")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	require.NoError(t, cmd.Run(), "%s", &text)
	for _, name := range []string{"TestPanicErrorUnwrap", "TestDoDupSuppress", "TestForget",
		"TestPanicDo", "TestGoexitDo", "TestPanicDoChan", "TestPanicDoSharedByDoChan", "ExampleGroup"} {
		assert.Contains(t, text.String(), "--- PASS: "+name)
	}
}

// Each caller of DoChan is one wait, as each of Do is.
func TestWaitsOfDoChan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g singleflight.Group
		slow := func() (any, error) { time.Sleep(time.Second); return 1, nil }
		first, second := g.DoChan("key", slow), g.DoChan("key", slow)
		_, err, _ := g.Do("key", slow)
		require.NoError(t, err)
		<-first
		<-second
		<-g.DoChan("key", slow)
		waits := g.Courier().Timings().Waits
		assert.Equal(t, uint64(4), waits.Count)
		assert.Equal(t, 4*time.Second, waits.Sum)
	})
}
