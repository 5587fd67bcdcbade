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

// A Bug is a bug to plant in a package, by replacing some of its text.
type Bug struct {
	Name       string
	Changes    []Change
	Invariants []string // one of these must catch it: the failure contains its name and a colon
	Run        string   // the tests that must fail, as for go test -run; "": those of Check
}

// A Change is a file, a text that it contains once, and the replacement.
type Change [3]string

// Check plants each bug in the package in dir, and fails unless the tests in the working directory
// that match run catch it. They run with -short and SEED=1 in their environment.
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
		t.Fatalf("no test caught it:\n%s", out)
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
	t.Fatalf("want one of %v to catch it, got:\n%s", b.Invariants, strings.Join(seen, ""))
}

// plant writes the changed files, and returns the path of the overlay file for the go command.
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
			t.Fatalf("%s has this text %d times, want once:\n\t%s\nAdapt the bug.", file, n, text)
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
