package errgroup_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests of x/sync pass with this package in place of x/sync's.
func TestTheTestsOfXSync(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds a package")
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}",
		"golang.org/x/sync").Output()
	require.NoError(t, err)
	theirs := filepath.Join(strings.TrimSpace(string(out)), "errgroup")
	here, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	replace := make(map[string]string)
	ours, err := filepath.Glob(filepath.Join(here, "*_test.go"))
	require.NoError(t, err)
	for _, file := range ours {
		replace[file] = ""
	}
	// Their tests are outside of their package, and import it.
	const path = `"golang.org/x/sync/errgroup"`
	for _, name := range []string{"errgroup_test.go", "errgroup_example_md5all_test.go"} {
		text, err := os.ReadFile(filepath.Join(theirs, name))
		require.NoError(t, err)
		require.Contains(t, string(text), path)
		text = bytes.ReplaceAll(text, []byte(path),
			[]byte(`"github.com/snowfence/snowfence/courier/errgroup"`))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		replace[filepath.Join(here, "xsync_"+name)] = filepath.Join(dir, name)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-vet=off",
		"-overlay", filepath.Join(dir, "overlay.json"), ".")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	require.NoError(t, cmd.Run(), "%s", &text)
	for _, name := range []string{"TestZeroGroup", "TestWithContext", "TestTryGo", "TestGoLimit",
		"TestCancelCause", "ExampleGroup_parallel"} {
		assert.Contains(t, text.String(), "--- PASS: "+name)
	}
}
