package cache_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program that imports these packages links no cluster, no metrics and no
// command line.
func TestDependencies(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool here")
	}
	const module = "github.com/snowfence/snowfence"
	out, err := exec.CommandContext(t.Context(), tool, "list", "-deps", //nolint:gosec // the go tool
		"-f", "{{if not .Standard}}{{.ImportPath}}{{end}}",
		module+"/cache", module+"/cache/lru", module+"/cache/lru/expirable",
		module+"/courier", module+"/partition").CombinedOutput()
	require.NoError(t, err, string(out))
	allowed := []string{
		module + "/cache", module + "/cache/internal/codec", module + "/cache/internal/envelope",
		module + "/cache/internal/evict", module + "/cache/internal/hook",
		module + "/cache/lru", module + "/cache/lru/expirable",
		module + "/courier", module + "/courier/internal/async", module + "/courier/internal/guard",
		module + "/internal/eventlog", module + "/internal/stacks", module + "/partition",
		"github.com/hashicorp/golang-lru/v2/",
		"github.com/cespare/xxhash/v2",
		"github.com/sony/gobreaker/v2", // of the second level
		"golang.org/x/sync/",
	}
	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)
		ok := false
		for _, a := range allowed {
			ok = ok || path == a || strings.HasSuffix(a, "/") && strings.HasPrefix(path, a)
		}
		require.True(t, ok, "%s is linked", path)
	}
	require.Contains(t, string(out), module+"/cache\n")
}
