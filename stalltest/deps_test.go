package stalltest_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A module that uses the suite for its own cache gets nothing else with it.
func TestDependencies(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool here")
	}
	out, err := exec.CommandContext(t.Context(), tool, "list", "-deps", //nolint:gosec // the go tool
		"-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, "github.com/snowfence/snowfence/stalltest", strings.TrimSpace(string(out)))
}
