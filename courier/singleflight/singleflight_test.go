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
	"strings"
	"sync"
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

// The callers of a function that never returns get the time-out.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hang := func() (any, error) { <-release; return nil, nil }
		for g, within := range map[*singleflight.Group]time.Duration{
			{}: courier.DefaultTimeout,
			singleflight.New(courier.WithTimeout(time.Second)): time.Second,
		} {
			began := time.Now()
			_, err, _ := g.Do("key", hang)
			assert.ErrorIs(t, err, courier.ErrTimeout)
			assert.Equal(t, within, time.Since(began))
		}
		close(release)
	})
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
