package benchmarks

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// courierShim is a package with the API of resenje.org/singleflight on the flights of a courier. Its
// test waits until stacks show as many callers in line 68 of a file of that name as it has started.
const courierShim = `package singleflight

import (
	"context"

	"github.com/snowfence/snowfence/courier"
)

type Group[K comparable, V any] struct{ courier courier.Courier[K, V] }

func (g *Group[K, V]) Do(
	ctx context.Context, key K, fn func(context.Context) (V, error),
) (v V, shared bool, err error) {
//line resenje.org/singleflight/singleflight.go:68
	return g.courier.Do(ctx, key, fn)
}

func (g *Group[K, V]) Forget(key K) { g.courier.Forget(key) }
`

// doContextShim is the same on courier/singleflight.
const doContextShim = `package singleflight

import (
	"context"
	"fmt"

	"github.com/snowfence/snowfence/courier/singleflight"
)

type Group[K comparable, V any] struct{ group singleflight.Group }

func (g *Group[K, V]) Do(
	ctx context.Context, key K, fn func(context.Context) (V, error),
) (v V, shared bool, err error) {
	call := func(ctx context.Context) (any, error) { return fn(ctx) }
//line resenje.org/singleflight/singleflight.go:68
	got, err, shared := g.group.DoContext(ctx, fmt.Sprint(key), call)
	v, _ = got.(V)
	return v, shared, err
}

func (g *Group[K, V]) Forget(key K) { g.group.Forget(fmt.Sprint(key)) }
`

// The tests of resenje.org/singleflight pass with this module in place of it, except where the
// behaviour differs on purpose.
func TestTheTestsOfResenje(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds a package")
	}
	const lateFlight = "TestDo_callDoAfterCancellation" // a flight past a deadline loses its key
	for name, c := range map[string]struct {
		shim string
		fail []string
	}{
		"courier.Do": {courierShim, []string{lateFlight,
			"TestDo_panic", // it is an error, and not raised in the callers
		}},
		"singleflight.DoContext": {doContextShim, []string{lateFlight}},
	} {
		t.Run(name, func(t *testing.T) {
			passed, failed, text := testResenje(t, c.shim)
			assert.ElementsMatch(t, c.fail, failed, "%s", text)
			for _, name := range []string{"TestDo", "TestDo_concurrentAccess", "TestDo_error",
				"TestDo_multipleCalls", "TestDo_callRemoval", "TestDo_cancelContext",
				"TestDo_cancelContextSecond", "TestForget", "TestForgetMisbehaving",
				"TestDo_multipleCallsCanceled", "TestDo_preserveContextValues"} {
				assert.Contains(t, passed, name)
			}
		})
	}
}

// testResenje runs the tests of resenje.org/singleflight with shim in place of the package, and
// returns the names of those that passed and failed.
func testResenje(t *testing.T, shim string) (passed, failed []string, text string) {
	t.Helper()
	const path = "resenje.org/singleflight"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	require.NoError(t, err)
	theirs, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "singleflight_test.go"))
	require.NoError(t, err)
	module, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	sums, err := os.ReadFile("go.sum")
	require.NoError(t, err)

	// An overlay can't change a file of the module cache, but go.mod can replace the module.
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"shim/go.mod":               []byte("module " + path + "\n\ngo 1.25.0\n"),
		"shim/shim.go":              []byte(shim),
		"shim/singleflight_test.go": theirs,
		"go.mod":                    append(module, "\nreplace "+path+" => "+dir+"/shim\n"...),
		"go.sum":                    sums,
	} {
		at := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o700))
		require.NoError(t, os.WriteFile(at, content, 0o600))
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-vet=off",
		"-modfile", filepath.Join(dir, "go.mod"), path)
	var all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &all, &all
	_ = cmd.Run() // it fails if a test does
	for _, m := range regexp.MustCompile(`(?m)^--- (PASS|FAIL): (\S+)`).FindAllStringSubmatch(
		all.String(), -1) {
		if m[1] == "PASS" {
			passed = append(passed, m[2])
		} else {
			failed = append(failed, m[2])
		}
	}
	return passed, failed, all.String()
}
