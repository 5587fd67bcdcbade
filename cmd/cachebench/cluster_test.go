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

	"github.com/snowfence/snowfence/internal/experiment/cluster"
)

// smallCluster is a cluster that a busy machine can keep up with, for some seconds.
var smallCluster = []string{
	"cluster", "--duration", "2s", "--nodes", "2", "--keys", "40", "--rate", "100", "--ttl", "1s",
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
		"--ownership slot,none --disturb origin-slow", "Loads by the origin", "origin slow"} {
		//nolint:testifylint // would print the page
		assert.True(t, strings.Contains(page, part), "the page must have %q", part)
	}
	for _, foreign := range []string{"<script", "<link", "<img", "src=", "@import", "url(http"} {
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
	var result struct {
		Command string
		Seed    uint64
		Partial bool
		Config  struct {
			Nodes      int
			Ownerships []string
			Duration   float64 `json:"duration_seconds"`
			Disturb    string
		}
		Finding string
		Checks  []struct{ OK bool }
		Runs    []struct {
			Ownership string
			Nodes     int
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
	require.NoError(t, json.Unmarshal([]byte(stdout), &result), "the table must not be printed")
	assert.Equal(t, uint64(7), result.Seed)
	assert.False(t, result.Partial)
	assert.NotEmpty(t, result.Checks)
	assert.Contains(t, result.Command, "--check --ownership key --seed 7")
	assert.Equal(t, 2, result.Config.Nodes)
	assert.Equal(t, []string{"key"}, result.Config.Ownerships)
	assert.InDelta(t, 2, result.Config.Duration, 0)
	assert.Equal(t, "none", result.Config.Disturb)
	assert.NotEmpty(t, result.Finding)
	require.Len(t, result.Runs, 1)
	run := result.Runs[0]
	assert.Equal(t, "key", run.Ownership)
	assert.Equal(t, 2, run.Nodes)
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
		{[]string{"--disturb", "spilt"},
			`--disturb "spilt": must be one of none, kill, restart, pause, split, rolling, origin-slow, origin-fail`},
		{[]string{"--ownership", "kay"},
			`--ownership "kay": must be key, slot, ring, none, several of them with commas between, or all, got "kay"`},
		{[]string{"--ownership", "key,"}, `got ""`},
		{[]string{"--ownership", "key,slot,key"}, "key stands there twice"},
		{[]string{"--nodes", "many"}, `--nodes "many": must be a whole number`},
		{[]string{"--seed", "-1"}, `--seed "-1": must be a whole number from 0 on`},
		{[]string{"--rate", "NaN"}, `--rate "NaN": must be a number`},
		{[]string{"--ttl", "5"}, `--ttl: must be a duration such as 500ms or 10s`},
		{[]string{"--nodes", "0"}, "--nodes"},
		{[]string{"--rate", "-1"}, "--rate"},
		{[]string{"--keys", "0"}, "--keys"},
		{[]string{"--zipf", "0.5"}, "--zipf"},
		{[]string{"--size", "-1"}, "--size"},
		{[]string{"--duration", "0s"}, "--duration"},
		{[]string{"--ttl", "-1s"}, "--ttl"},
		{[]string{"--capacity", "0"}, "--capacity"},
		{[]string{"--deadline", "0s"}, "--deadline"},
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
	for _, want := range []string{"Examples:", "origin loads against the ideal", "--peer-timeout",
		"pause        nodes are stopped", "no cluster: each node loads for itself"} {
		assert.Contains(t, stdout.String(), want)
	}
	stdout.Reset()
	require.Equal(t, exitOK, execute(t.Context(), []string{"-h"}, &stdout, &stderr))
	assert.Regexp(t, `(?m)^  cluster +Run a cache that nodes share`, stdout.String())
	assert.NotContains(t, stdout.String(), clusterNodeCommand, "it is not for people")

	stdout.Reset()
	require.Equal(t, exitOK, execute(t.Context(), []string{"__complete", "cluster", "--ownership", ""},
		&stdout, &stderr))
	assert.Contains(t, stdout.String(), "slot\nkey\nring\nnone\nall\n")
}

// Flags become the configuration, and what is not given is the engine's default.
func TestClusterPlan(t *testing.T) {
	plan := func(args ...string) cluster.Config {
		t.Helper()
		f := &clusterFlags{config: cluster.DefaultConfig()}
		cmd := newCluster(&output{})
		cmd.ResetFlags()
		f.define(cmd)
		require.NoError(t, cmd.ParseFlags(args))
		c, err := f.plan()
		require.NoError(t, err)
		return c
	}
	usual := cluster.DefaultConfig()
	assert.Equal(t, usual, plan())

	want := cluster.Config{
		Nodes: 5, Ownerships: []cluster.Ownership{cluster.ByRing, cluster.ByKey},
		Duration: 20 * time.Second, Rate: 12.5, Keys: 11, Zipf: 1.2, Size: 99,
		TTL: 3 * time.Second, Capacity: 77, CopyTTL: -1, PeerTimeout: 300 * time.Millisecond,
		Deadline:      4 * time.Second,
		OriginLatency: 5 * time.Millisecond, OriginErrors: 0.25, Disturb: cluster.Split,
		Start: 6 * time.Second, End: 7 * time.Second, Victims: 2, Seed: 9,
	}
	assert.Equal(t, want, plan(
		"--nodes", "5", "--ownership", "ring,key", "--duration", "20s", "--rate", "12.5", "--keys", "11",
		"--zipf", "1.2", "--size", "99", "--ttl", "3s",
		"--capacity", "77", "--copy-ttl", "-1ns", "--peer-timeout", "300ms", "--deadline", "4s",
		"--origin-latency", "5ms", "--origin-errors", "0.25",
		"--disturb", "split", "--start", "6s", "--end", "7s", "--victims", "2", "--seed", "9"))
	assert.Equal(t, []cluster.Ownership{cluster.BySlot, cluster.ByKey, cluster.ByRing,
		cluster.None}, plan("--ownership", "all").Ownerships)

	// The window keeps its place in a longer run, unless it was given.
	double := plan("--duration", (2 * usual.Duration).String())
	assert.Equal(t, 2*usual.Start, double.Start)
	assert.Equal(t, 2*usual.End, double.End)
	short := plan("--duration", "2s")
	assert.Equal(t, time.Second, short.Start, "it takes a second to see what it was like before")
	assert.Greater(t, short.End, short.Start)
	fixed := plan("--duration", (2 * usual.Duration).String(), "--disturb", "kill", "--start", "1s")
	assert.Equal(t, time.Second, fixed.Start)
	assert.Equal(t, usual.End, fixed.End)
}
