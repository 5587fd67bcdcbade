// Package planted plants bugs in a package and checks that its tests catch them.
package planted

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Bug is some text of a package that is replaced.
type Bug struct {
	Name       string
	Changes    []Change
	Invariants []string // one of these must catch it: a failure says its name and a colon
	Run        string   // the tests that must, as for go test -run; "": those of Check
}

// A Change is a file, text that is in it once, and what takes its place.
type Change [3]string

// Check plants each bug in the package in dir, and fails unless the tests in the working directory
// that run names catch it. They run with -short, and with SEED=1 in their environment.
func Check(t *testing.T, dir, run string, bugs []Bug) {
	t.Helper()
	for _, b := range bugs {
		t.Run(strings.ReplaceAll(b.Name, " ", "-"), func(t *testing.T) { b.check(t, dir, run) })
	}
}

func (b Bug) check(t *testing.T, dir, run string) {
	t.Helper()
	overlay := b.plant(t, dir)
	if b.Run != "" {
		run = b.Run
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", //nolint:gosec // our own arguments
		"-vet=off", "-failfast", "-overlay", overlay, "-run", run, "-short", "-count=1", "-v", ".")
	cmd.Env = append(os.Environ(), "SEED=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("nobody noticed:\n%s", out)
	}
	var seen []string
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "_test.go:") {
			continue
		}
		says := func(invariant string) bool { return strings.Contains(line, invariant+": ") }
		if slices.ContainsFunc(b.Invariants, says) {
			t.Log(strings.TrimSpace(line))
			return
		}
		seen = append(seen, line)
	}
	if seen == nil { // it does not build
		seen = []string{string(out)}
	}
	t.Fatalf("wanted one of %v, got:\n%s", b.Invariants, strings.Join(seen, ""))
}

// plant writes the changed files, and returns the one that tells the go command of them.
func (b Bug) plant(t *testing.T, dir string) (overlay string) {
	t.Helper()
	dir, err := filepath.Abs(dir)
	require.NoError(t, err)
	wrong := make(map[string]string) // by path
	for _, c := range b.Changes {
		file, text, instead := c[0], c[1], c[2]
		path := filepath.Join(dir, file)
		if wrong[path] == "" {
			source, err := os.ReadFile(path) //nolint:gosec // a file of this module
			require.NoError(t, err)
			wrong[path] = string(source)
		}
		if n := strings.Count(wrong[path], text); n != 1 {
			t.Fatalf("%s has %d times, not once:\n\t%s\nPlant it another way.", file, n, text)
		}
		wrong[path] = strings.Replace(wrong[path], text, instead, 1)
	}
	to, replace := t.TempDir(), make(map[string]string)
	for path, source := range wrong {
		replace[path] = filepath.Join(to, filepath.Base(path))
		require.NoError(t, os.WriteFile(replace[path], []byte(source), 0o600))
	}
	files, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	require.NoError(t, err)
	overlay = filepath.Join(to, "overlay.json")
	require.NoError(t, os.WriteFile(overlay, files, 0o600))
	return overlay
}
