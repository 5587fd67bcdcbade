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
		"none", "--ttl", "0s", "--out", dir)
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
	require.Empty(t, stderr)
	require.Regexp(t, `(?m)^Memory, GOGC=100\n.*\n.*\n.*\nsnowfence-uncompact `, stdout)
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
		Result struct{ Cells []struct{ Store string } }
	}
	require.NoError(t, json.Unmarshal([]byte(readFile(t, dir, "result.json")), &result))
	require.Len(t, result.Result.Cells, 3)
	require.Equal(t, "snowfence", result.Result.Cells[2].Store)
}

func TestMemoryUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"--entries: must be from 1000 to 20000000, got 1": {"--entries", "1"},
		`got "olric"`:                                  {"--stores", "olric"},
		"--stores: map stands there twice":             {"--stores", "map,map"},
		"--stores: must have one that suits the runs":  {"--stores", "golang-lru-expirable", "--ttl", "0s"},
		"--value-size: must be at most 1MiB, got 2MiB": {"--value-size", "2MiB"},
		"--keep: must be from 0 to 1, got 2":           {"--keep", "2"},
		"--phase: must be from 100ms to 1h, got 1ns":   {"--phase", "1ns"},
		"--limit: must be a whole":                     {"--limit", "much"},
		"--limit: must be at least 16MiB, since a Go program needs some for itself, got 1KiB": {
			"--limit", "1KiB",
		},
		`--limit: must be a multiple from 1x to 100x, such as 1.5x, got "0.5x"`: {"--limit", "100MiB,0.5x"},
		`got "manyx"`: {"--limit", "manyx"},
		`got "none"`:  {"--limit", "none,1.1x"},
		`--limit-gogc: must be whole numbers from 1 to 10000, or off, each once, got "on"`: {
			"--limit-gogc", "on",
		},
		`each once, got "0"`:                           {"--limit-gogc", "0"},
		"--ttl: must be at least 100ms, or 0, got 1ms": {"--ttl", "1ms"},
		"--gogc: must be from 1 to 10000, got 0":       {"--gogc", "0"},
		"--gogc: 100 stands there twice":               {"--gogc", "100,100"},
		`--gogc: must be a whole number, got "off"`:    {"--gogc", "off"},
		"--limit: 1.5x stands there twice":             {"--limit", "1.5x,1.50x"},
		"--limit: 64MiB stands there twice":            {"--limit", "64MiB,65536KiB"},
		"--stores: must have snowfence-uncompact and snowfence, or snowfence-shed and a --limit": {
			"--check", "--stores", "map,snowfence-shed", "--limit", "none",
		},
		"unknown command": {"and more"},
	} {
		code, stdout, stderr := runMemory(t, args...)
		require.Equal(t, exitUsage, code, want)
		require.Contains(t, stderr, want)
		require.Empty(t, stdout)
	}
}
