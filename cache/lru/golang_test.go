package lru_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tests and examples of golang-lru pass, all of them, with these packages in place of
// golang-lru's.
func TestTheTestsOfGolangLRU(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds packages")
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/hashicorp/golang-lru/v2").Output()
	require.NoError(t, err)
	theirs := strings.TrimSpace(string(out))
	for _, p := range []struct {
		name  string
		dir   string
		files []string
		least int // the number of tests and examples of version 2.0.7

		// Those that fail if the machine is too busy, since they use the real clock.
		timed []string
	}{
		{"lru", ".", []string{"lru_test.go", "testing_test.go"}, 8, nil},
		{"expirable", "expirable", []string{"expirable/expirable_lru_test.go"}, 11,
			[]string{"TestLRUWithPurge", "TestLoadingExpired", "ExampleLRU"}},
	} {
		t.Run(p.name, func(t *testing.T) {
			files := make([]string, len(p.files))
			for i, f := range p.files {
				files[i] = filepath.Join(theirs, filepath.FromSlash(f))
			}
			names := namesIn(t, files)
			require.GreaterOrEqual(t, len(names), p.least)
			program := build(t, p.dir, files)
			const attempts = 10
			for range attempts {
				failed, text := run(t, program, names)
				for _, name := range failed {
					require.Contains(t, p.timed, name, text)
				}
				if names = failed; len(names) == 0 {
					return
				}
				t.Log("again: ", names)
			}
			t.Fatalf("failed %d times: %v", attempts, names)
		})
	}
}

var testName = regexp.MustCompile(`(?m)^func ((?:Test|Example)\w*)\(`)

// namesIn returns the names of the tests and examples in files.
func namesIn(t *testing.T, files []string) (names []string) {
	t.Helper()
	for _, f := range files {
		text, err := os.ReadFile(f) //nolint:gosec // of a module
		require.NoError(t, err)
		for _, m := range testName.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// build returns a test program of the package in dir with these files instead of its own tests.
func build(t *testing.T, dir string, files []string) (program string) {
	t.Helper()
	dir, err := filepath.Abs(dir)
	require.NoError(t, err)
	replace := map[string]string{}
	own, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	for _, f := range own {
		replace[f] = ""
	}
	for _, f := range files {
		replace[filepath.Join(dir, "golang_lru_"+filepath.Base(f))] = f
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	temp := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(temp, "overlay.json"), overlay, 0o600))
	program = filepath.Join(temp, "golang-lru.test")
	text, err := exec.CommandContext(t.Context(), //nolint:gosec // the go tool
		"go", "test", "-c", "-vet=off", "-overlay", filepath.Join(temp, "overlay.json"),
		"-o", program, dir).CombinedOutput()
	require.NoError(t, err, string(text))
	return program
}

// run runs these tests, and returns those that did not pass, and the output.
func run(t *testing.T, program string, names []string) (failed []string, text string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, "-test.v", //nolint:gosec // from build
		"-test.run", "^("+strings.Join(names, "|")+")$").CombinedOutput()
	text = string(out)
	for _, name := range names {
		if !strings.Contains(text, "--- PASS: "+name+" ") {
			failed = append(failed, name)
		}
	}
	if err != nil {
		require.NotEmpty(t, failed, text)
	}
	return slices.Clip(failed), text
}
