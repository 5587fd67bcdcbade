package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallCluster is a cluster that a busy machine can keep up with, for some seconds.
var smallCluster = []string{
	"cluster", "--duration", "2s", "--nodes", "2", "--key-count", "40", "--rate", "100", "--ttl", "1s",
	"--origin-latency", "2ms",
}

func runCluster(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var o, e bytes.Buffer
	code = execute(ctx, append(smallCluster[:len(smallCluster):len(smallCluster)], args...), &o, &e)
	return code, o.String(), e.String()
}

func TestClusterCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	code, stdout, stderr := runCluster(t.Context(), "--ownership", "slot,none", "--disturb",
		"origin-slow", "--out", dir)
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
	assert.Empty(t, stderr, "no progress where there is no terminal")
	assert.NotContains(t, stdout, "\x1b")
	assert.Contains(t, stdout, "2 processes, 40 keys")
	assert.Contains(t, stdout, "the origin is slow.")
	assert.Regexp(t, `(?m)^measure +by slot +no cluster$`, stdout)
	assert.Regexp(t, `origin loads against no cluster ↓ +\d+ % +100 %`, stdout)
	assert.Regexp(t, `wrong values ↓ +0 +0`, stdout)
	assert.Regexp(t, `stale values ↓ +0 +0`, stdout)
	for _, name := range []string{"report.html", "cluster.svg", "series.csv", "tables.md",
		"result.json"} {
		assert.Contains(t, stdout, filepath.Join(dir, name))
	}

	page := readFile(t, dir, "report.html")
	for _, part := range []string{"Cluster cache: the origin is slow",
		"--ownership slot,none --disturb origin-slow", "Loads by the origin", "origin slow",
		`class="lead">By slot`, "<dt>no cluster</dt>", "<dt>wrong values</dt>"} {
		//nolint:testifylint // would print the page
		assert.True(t, strings.Contains(page, part), "the page must have %q", part)
	}
	for _, foreign := range []string{"<script ", "<link", "<img", "src=", "@import", "url(http"} {
		//nolint:testifylint // would print the page
		assert.False(t, strings.Contains(page, foreign), "the page must need nothing else: %s", foreign)
	}
	assert.Contains(t, readFile(t, dir, "cluster.svg")[:300], "<svg ")
	assert.Contains(t, readFile(t, dir, "tables.md"), "| measure | by slot | no cluster |")
	rows, err := csv.NewReader(strings.NewReader(readFile(t, dir, "series.csv"))).ReadAll()
	require.NoError(t, err)
	for _, column := range []string{"t_seconds", "slot_origin_loads_per_second",
		"none_origin_loads_per_second", "slot_latency_p99_seconds", "none_errors_per_second"} {
		assert.Contains(t, rows[0], column)
	}
	require.Greater(t, len(rows), 4)
	var result map[string]any
	require.NoError(t, json.Unmarshal([]byte(readFile(t, dir, "result.json")), &result))
	assert.Len(t, result["files"], 5)
}

func TestClusterJSON(t *testing.T) {
	code, stdout, stderr := runCluster(t.Context(), "--json", "--check", "--ownership", "key",
		"--seed", "7")
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
	var got struct {
		Command string
		Partial bool
		Params  struct {
			Nodes                        int
			Ownership, Duration, Disturb string
			Seed                         uint64
		}
		Finding string
		Checks  []struct{ OK bool }
		Result  struct {
			Runs []struct {
				Ownership string
				Fetches   uint64
				Before    struct {
					Fetches uint64
					Latency struct {
						P99 *float64 `json:"p99_seconds"`
					}
				}
				Loads              struct{ Total, Ideal uint64 }
				Wrong, Stale, Late uint64
				Stats              struct{ Hits uint64 }
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &got), "the table must not be printed")
	assert.False(t, got.Partial)
	assert.NotEmpty(t, got.Checks)
	assert.Contains(t, got.Command, "--check")
	assert.Contains(t, got.Command, "--ownership key")
	assert.Equal(t, uint64(7), got.Params.Seed)
	assert.Equal(t, 2, got.Params.Nodes)
	assert.Equal(t, "key", got.Params.Ownership)
	assert.Equal(t, "2s", got.Params.Duration)
	assert.Equal(t, "none", got.Params.Disturb)
	assert.NotEmpty(t, got.Finding)
	require.Len(t, got.Result.Runs, 1)
	run := got.Result.Runs[0]
	assert.Equal(t, "key", run.Ownership)
	assert.Positive(t, run.Fetches)
	assert.Positive(t, run.Before.Fetches)
	assert.NotNil(t, run.Before.Latency.P99)
	assert.Positive(t, run.Loads.Total)
	assert.Positive(t, run.Loads.Ideal)
	assert.Positive(t, run.Stats.Hits)
	assert.Zero(t, run.Wrong+run.Stale)
}

func TestClusterStopped(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	dir := t.TempDir()
	code, stdout, stderr := runCluster(ctx, "--duration", "5m", "--out", dir)
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "cachebench: stopped before the end; the result is partial\n", stderr)
	assert.Contains(t, strings.Join(strings.Fields(stdout), " "), "The run was stopped")
	assert.Contains(t, readFile(t, dir, "report.html"), "The run was stopped")
}

func TestClusterWrongUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--disturb", "spilt"}, "--disturb: must be one of none, kill, restart, pause, split, " +
			`rolling, origin-slow, origin-fail, poison, got "spilt" (did you mean split?)`},
		{[]string{"--ownership", "kay"},
			`--ownership: must be one of slot, key, ring, none, all, got "kay" (did you mean key?)`},
		{[]string{"--ownership", "key,"}, `got ""`},
		{[]string{"--ownership", "key,slot,key"}, "key stands there twice"},
		{[]string{"--nodes", "many"}, `--nodes: must be a whole number, got "many"`},
		{[]string{"--seed", "-1"}, `--seed: must be a whole number from 0 on, got "-1"`},
		{[]string{"--rate", "NaN"}, `--rate: must be a number, got "NaN"`},
		{[]string{"--ttl", "5"}, `--ttl: must be a duration such as 250ms, got "5"`},
		{[]string{"--nodes", "0"}, "--nodes"},
		{[]string{"--rate", "-1"}, "--rate"},
		{[]string{"--key-count", "0"}, "--key-count"},
		{[]string{"--keys", "zipf:-0.5"}, "--keys"},
		{[]string{"--keys", "trace:some.arc"}, "--keys"},
		{[]string{"--value-size", "-1"}, "--value-size"},
		{[]string{"--duration", "0s"}, "--duration"},
		{[]string{"--ttl", "-1s"}, "--ttl"},
		{[]string{"--capacity", "0"}, "--capacity"},
		{[]string{"--timeout", "0s"}, "--timeout"},
		{[]string{"--origin-latency", "-1s"}, "--origin-latency"},
		{[]string{"--origin-errors", "1.5"}, "--origin-errors"},
		{[]string{"--disturb", "kill", "--nodes", "3", "--victims", "3"}, "--victims"},
		{[]string{"--disturb", "split", "--start", "6s", "--end", "5s"}, "--end"},
		{[]string{"--disturb", "split", "--end", "1h"}, "--end"},
		{[]string{"--disturb", "split", "--nodes", "1"}, "--nodes"},
		{[]string{"--out", filepath.Join(file, "x")}, "--out: "},
		{[]string{"--nonsense"}, "unknown flag: --nonsense"},
		{[]string{"stray"}, `unknown command "stray"`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := execute(t.Context(), append([]string{"cluster"}, tt.args...), &stdout, &stderr)
			assert.Equal(t, exitUsage, code, stderr.String())
			assert.Contains(t, stderr.String(), tt.want)
			assert.Contains(t, stderr.String(), "Run 'cachebench cluster --help' for usage.")
			assert.Empty(t, stdout.String(), "nothing may run")
		})
	}
}

func TestClusterHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitOK, execute(t.Context(), []string{"cluster", "-h"}, &stdout, &stderr))
	for _, want := range []string{"Examples:", "--key-count", "no cluster: each node loads for itself",
		"cachebench help cluster rows"} {
		assert.Contains(t, stdout.String(), want)
	}
	for topic, want := range map[string]string{
		"rows":     "origin loads against the ideal",
		"flags":    "--copy-ttl",
		"disturb":  "pause        nodes are stopped",
		"promises": "lost with a node",
	} {
		stdout.Reset()
		require.Equal(t, exitOK, execute(t.Context(), []string{"help", "cluster", topic}, &stdout, &stderr))
		assert.Contains(t, stdout.String(), want)
	}
	stdout.Reset()
	require.Equal(t, exitOK, execute(t.Context(), []string{"-h"}, &stdout, &stderr))
	assert.Regexp(t, `(?m)^  cluster +Run a cache that nodes share`, stdout.String())
	assert.NotContains(t, stdout.String(), "cluster-child", "it is not for people")

	stdout.Reset()
	require.Equal(t, exitOK, execute(t.Context(), []string{"__complete", "cluster", "--ownership", ""},
		&stdout, &stderr))
	assert.Contains(t, stdout.String(), "slot\nkey\nring\nnone\nall\n")
}
