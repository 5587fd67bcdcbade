package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func runMemory(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	small := []string{"memory", "--entries", "20000", "--phase", "150ms", "--rate", "20000", "--gogc",
		"100"}
	code = execute(t.Context(), append(small, args...), &o, &e)
	return code, o.String(), e.String()
}

func TestMemoryCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	code, stdout, stderr := runMemory(t, "--stores", "map,snowfence-uncompact,snowfence", "--limit",
		"none", "--ttl", "0", "--out", dir)
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
	require.Empty(t, stderr)
	require.Regexp(t, `(?m)^GOGC=100 +snowfence-uncompact `, stdout)
	require.NotContains(t, stdout, "GOMEMLIMIT=")
	require.Contains(t, stdout, "where tables are never rebuilt")
	for _, name := range []string{"report.html", "memory.svg", "series.csv", "tables.md",
		"result.json"} {
		require.Contains(t, stdout, filepath.Join(dir, name))
	}
	page := readFile(t, dir, "report.html")
	for _, part := range []string{"what a cache leaves behind",
		"--stores map,snowfence-uncompact,snowfence", "CPU time of collections", "Longest pause",
		`class="lead">`, "<dt>left</dt>"} {
		//nolint:testifylint // would print the page
		require.True(t, strings.Contains(page, part), "the page must have %q", part)
	}
	var result struct {
		Cells []struct {
			Job struct {
				Store string `json:"store"`
			} `json:"job"`
		} `json:"cells"`
	}
	require.NoError(t, json.Unmarshal([]byte(readFile(t, dir, "result.json")), &result))
	require.Len(t, result.Cells, 3)
	require.Equal(t, "snowfence", result.Cells[2].Job.Store)
}

func TestMemoryUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"--entries":                        {"--entries", "1"},
		"got olric":                        {"--stores", "olric"},
		`--limit: "much": must be a whole`: {"--limit", "much"},
		"--limit: want at least 16 MiB: a Go program needs some for itself, got 1024": {"--limit",
			"1KiB"},
		"--limit: want 1x to 100x, got 0.5x": {"--limit", "100MiB,0.5x"},
		`--limit: "manyx"`:                   {"--limit", "manyx"},
		"--limit: none and":                  {"--limit", "none,1.1x"},
		`--limit-gogc: "on"`:                 {"--limit-gogc", "on"},
		"--limit-gogc: want 1 to 10,000, or off, each once, got 0": {"--limit-gogc", "0"},
		"--ttl: want 100ms to 1h, or 0 for no such runs, got 1ms":  {"--ttl", "1ms"},
		"--gogc":          {"--gogc", "0"},
		"unknown command": {"and more"},
	} {
		code, stdout, stderr := runMemory(t, args...)
		require.Equal(t, exitUsage, code, want)
		require.Contains(t, stderr, want)
		require.NotContains(t, stderr, "memload", want)
		require.Empty(t, stdout)
	}
}
