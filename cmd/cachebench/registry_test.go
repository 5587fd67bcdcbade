package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallRegistry is a cluster that a busy machine can keep up with, for a second.
var smallRegistry = []string{
	"registry", "--duration", "1s", "--nodes", "3", "--names", "50", "--rate", "200", "--contested",
	"10", "--partitions", "4",
	"--gossip", "20ms", "--probe", "50ms",
}

func runRegistry(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var o, e bytes.Buffer
	code = execute(ctx, append(smallRegistry[:len(smallRegistry):len(smallRegistry)], args...), &o, &e)
	return code, o.String(), e.String()
}

func TestRegistryCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	code, stdout, stderr := runRegistry(t.Context(), "--check", "--out", dir)
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
	assert.Empty(t, stderr, "no progress where there is no terminal")
	assert.NotContains(t, stdout, "\x1b")
	assert.Regexp(t, `^3 nodes in one process, 50 names from the start, 200 changes/s for 1 s. From 250 ms to 625 ms node-0\d, node-0\d are cut off`, stdout)
	// On a busy machine the sides of the split may not claim all of the ten names.
	claimed := regexp.MustCompile(`names claimed by two nodes +([1-9]\d*) of 10`).FindStringSubmatch(stdout)
	require.NotNil(t, claimed, stdout)
	notified := fmt.Sprintf("%s of %[1]s", claimed[1])
	assert.Regexp(t, `losers notified +`+notified, stdout)
	assert.Regexp(t, `zombies at the end +0`, stdout)
	assert.Contains(t, stdout, "Deepest queue by partition: ")
	assert.Contains(t, stdout, "pull: a request for what is missing")
	assert.Contains(t, stdout, "pass     every loser was notified")
	assert.NotContains(t, stdout, "FAIL")
	for _, name := range []string{"report.html", "registry.svg", "series.csv", "tables.md",
		"result.json"} {
		assert.Contains(t, stdout, filepath.Join(dir, name))
	}

	page := readFile(t, dir, "report.html")
	for _, part := range []string{
		"Registry: the network splits and heals", "cachebench registry --duration 1s",
		"--check --out ", "experiment: registry",
		"split: node-", "Names visible", "Views behind", "Queue depth", "Messages sent",
		"Bytes on the wire", "Conflicts lost", `class="lead">`, "<dt>losers notified</dt>",
	} {
		//nolint:testifylint // would print the page
		assert.True(t, strings.Contains(page, part), "the page must have %q", part)
	}
	for _, foreign := range []string{"<script ", "<link", "<img", "src=", "@import", "url(http"} {
		//nolint:testifylint // would print the page
		assert.False(t, strings.Contains(page, foreign), "the page must need nothing else: %s", foreign)
	}
	assert.Contains(t, readFile(t, dir, "registry.svg")[:300], "<svg ")
	assert.Contains(t, readFile(t, dir, "tables.md"), "| losers notified | "+notified+" |")
	rows, err := csv.NewReader(strings.NewReader(readFile(t, dir, "series.csv"))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{
		"t_seconds", "p4_names_expected", "p4_names_least", "p4_names_most", "p4_names_node-01",
		"p4_names_node-02", "p4_names_node-03",
		"p4_views_behind", "p4_visible_p50_seconds", "p4_visible_p99_seconds", "p4_queue_depth",
		"p4_messages_per_second",
		"p4_wire_bytes_per_second", "p4_conflicts_lost_per_second", "p4_pulls_per_second",
	}, rows[0])
	require.Greater(t, len(rows), 4)
	var result map[string]any
	require.NoError(t, json.Unmarshal([]byte(readFile(t, dir, "result.json")), &result))
	assert.Len(t, result["files"], 5)
}

func TestRegistryJSON(t *testing.T) {
	code, stdout, stderr := runRegistry(t.Context(), "--json", "--disturb", "restart", "--processes",
		"--partitions", "1,3", "--seed", "7", "--resolver", "oldest")
	require.Equal(t, exitOK, code, stderr)
	var result struct {
		Command string
		Params  struct {
			Seed       uint64
			Nodes      int
			Partitions string
			Processes  bool
		}
		Partial bool
		Finding string
		Checks  []any
		Result  struct {
			Runs []struct {
				Partitions int
				Victims    []string
				Registered int
				Died       int
				Visible    map[string]struct {
					Count int
					P99   *float64 `json:"p99_seconds"`
				}
				Whole     *float64 `json:"whole_seconds"`
				Settled   *float64 `json:"settled_seconds"`
				Conflicts struct{ Names, Losers, Told int }
				Audit     struct {
					Names, Zombies, Disagreements int
					TwoHolders                    int `json:"two_holders"`
				}
				Queue  int   `json:"queue_peak"`
				Queues []int `json:"queue_peak_by_partition"`
				Counts struct {
					Sent struct{ Updates int }
					Wire int `json:"wire_bytes"`
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &result), "the table must not be printed")
	assert.Equal(t, uint64(7), result.Params.Seed)
	assert.Equal(t, 3, result.Params.Nodes)
	assert.False(t, result.Partial)
	assert.Empty(t, result.Checks)
	assert.Contains(t, result.Command, "--partitions 1,3")
	assert.Contains(t, result.Command, "--processes")
	assert.Equal(t, "1,3", result.Params.Partitions)
	assert.True(t, result.Params.Processes)
	assert.NotEmpty(t, result.Finding)
	runs := result.Result.Runs
	require.Len(t, runs, 2)
	for i, partitions := range []int{1, 3} {
		run := runs[i]
		assert.Equal(t, partitions, run.Partitions)
		assert.Len(t, run.Queues, partitions)
		assert.Equal(t, slices.Max(run.Queues), run.Queue)
		assert.Len(t, run.Victims, 1)
		assert.Positive(t, run.Died)
		assert.Positive(t, run.Registered)
		assert.Positive(t, run.Counts.Sent.Updates)
		assert.Positive(t, run.Counts.Wire)
		assert.Contains(t, run.Visible, "during")
		assert.NotNil(t, run.Whole)
		assert.NotNil(t, run.Settled)
		assert.Positive(t, run.Audit.Names)
		assert.Zero(t, run.Audit.Zombies+run.Audit.Disagreements+run.Audit.TwoHolders)
		assert.Equal(t, run.Conflicts.Losers, run.Conflicts.Told)
	}
	assert.Equal(t, runs[0].Victims, runs[1].Victims, "the seed is the same")
}

func TestRegistryCheckFails(t *testing.T) {
	// Nobody heals a split of 1 s in no time at all.
	dir := t.TempDir()
	path := filepath.Join(dir, "hasty.yaml")
	writeFile(t, path, "experiment: registry\nduration: 600ms\nnodes: 2\nnames: 20\nrate: 50\n"+
		"contested: 5\ndisturb: split\nstart: 100ms\nend: 500ms\nwhole-within: 1ns\n")
	var stdout, stderr bytes.Buffer
	code := execute(t.Context(), []string{"registry", "--scenario", path, "--check"}, &stdout, &stderr)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stdout.String(), "FAIL     whole again soon after the disturbance")
	assert.Regexp(t, `^cachebench: 1 of 8 checks did not hold:\n  whole again soon after the disturbance: after .*; wanted: at most 1 ns\n$`, stderr.String())
}

func TestRegistryStopped(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	dir := t.TempDir()
	code, stdout, stderr := runRegistry(ctx, "--duration", "1m", "--out", dir)
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "cachebench: stopped before the end; the result is partial\n", stderr)
	assert.Contains(t, strings.Join(strings.Fields(stdout), " "), "The run was stopped")
	assert.Contains(t, readFile(t, dir, "report.html"), "The run was stopped")
}

func TestRegistryWrongUsage(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, text)
		return path
	}
	unknown := file("unknown.yaml", "experiment: registry\nnames: 7\nnode: 5\n")
	faults := file("faults.yaml", "seed: 1\nexperiment: faults\n")
	many := file("many.yaml", "nodes: 3\npartitions: [1, 2, 3, 4, 5, 6, 7, 8, 9]\nvictims: 3\n")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--disturb", "spilt"},
			`--disturb: must be one of none, kill, restart, split, flap, skew, got "spilt" (did you mean split?)`},
		{[]string{"--disturb", "split", "--nodes", "1"},
			"--disturb: split needs at least 2 nodes, and --nodes is 1"},
		{[]string{"--disturb", "kill", "--nodes", "3", "--victims", "3"},
			"--victims: must leave a node alone: at most 2 of 3 (--nodes), got 3"},
		{[]string{"--nodes", "0"}, "--nodes: must be from 1 to 64, got 0"},
		{[]string{"--nodes", "65"}, "--nodes: must be from 1 to 64, got 65"},
		{[]string{"--nodes", "-2"}, "--nodes: must be from 1 to 64, got -2"},
		{[]string{"--nodes", "many"}, `--nodes: must be a whole number, got "many"`},
		{[]string{"--nodes", "1", "--disturb", "none", "--contested", "5"},
			"--contested: needs two nodes that claim a name, and --nodes is 1"},
		{[]string{"--partitions", "0"}, "--partitions: must be from 1 to 4096, got 0"},
		{[]string{"--partitions", "1,x"}, `--partitions: must be a whole number, got "x"`},
		{[]string{"--partitions", ""}, `--partitions: must be a whole number, got ""`},
		{[]string{"--partitions", "16,16"}, "--partitions: 16 stands there twice"},
		{[]string{"--partitions", "5000"}, "--partitions: must be from 1 to 4096, got 5000"},
		{[]string{"--processes=perhaps"}, `--processes: must be true or false, got "perhaps"`},
		{[]string{"--resolver", "last"}, `--resolver: must be one of newest, oldest, got "last"`},
		{[]string{"--rate", "-1"}, "--rate: must be from 0 to 1000000, got -1"},
		{[]string{"--churn", "1"}, "--churn: must be at least 0 and below 1, got 1"},
		{[]string{"--queue", "-1"}, "--queue: must be at least 0, got -1"},
		{[]string{"--queue-at-most", "-1"}, "--queue-at-most: must be at least 0, got -1"},
		{[]string{"--skew", "2h"}, "--skew: must be from -1h to 1h, got 2h"},
		{[]string{"--duration", "100ms"}, "--duration: must be from 500ms to 24h, got 100ms"},
		{[]string{"--start", "6s", "--end", "5s"},
			"--end: must be at least 100ms after --start (6s), got 5s"},
		{[]string{"--end", "9s"}, "--end: must be at most --duration (8s), got 9s"},
		{[]string{"--gossip", "0"}, "--gossip: must be from 1ms to 1m, got 0s"},
		{[]string{"--scenario", "missing.yaml"}, "missing.yaml: no such file"},
		{[]string{"--scenario", unknown}, unknown + ":3: node: unknown field (did you mean nodes?)"},
		{[]string{"--scenario", faults},
			faults + `:2: experiment: is "faults": this is no scenario of cachebench registry`},
		{[]string{"--scenario", many}, many + ":2: partitions: must be at most 8 numbers\n" + many +
			":3: victims: must leave a node alone: at most 2 of 3 (nodes), got 3"},
		{[]string{"--out", filepath.Join(faults, "x")}, "--out: "},
		{[]string{"--nonsense"}, "unknown flag: --nonsense"},
		{[]string{"stray"}, `unknown command "stray"`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := execute(t.Context(), append([]string{"registry"}, tt.args...), &stdout, &stderr)
			assert.Equal(t, exitUsage, code, stderr.String())
			assert.Contains(t, stderr.String(), tt.want)
			assert.Contains(t, stderr.String(), "Run 'cachebench registry --help' for usage.")
			assert.Empty(t, stdout.String(), "nothing may run")
		})
	}
}

// A scenario of one kind is not run as if it were of the other.
func TestScenariosOfAnotherCommand(t *testing.T) {
	path := filepath.Join("..", "..", "testdata", "scenarios", "registry-smoke.yaml")
	for _, command := range []string{"run", "snowball"} {
		var stdout, stderr bytes.Buffer
		code := execute(t.Context(), []string{command, "--scenario", path}, &stdout, &stderr)
		assert.Equal(t, exitUsage, code)
		assert.Contains(t, stderr.String(), path+":5: experiment: ")
		assert.Empty(t, stdout.String())
	}
}

func TestRegistryHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitOK, execute(t.Context(), []string{"registry", "-h"}, &stdout, &stderr))
	for _, want := range []string{"Examples:", "--start duration", "--victims n",
		"(default split)", "--processes  ", "cachebench help registry rows"} {
		assert.Contains(t, stdout.String(), want)
	}
	assert.LessOrEqual(t, strings.Count(stdout.String(), "\n"), 46, "it fits a screen")
	for topic, want := range map[string]string{
		"rows": "zombies at the end", "course": "flap      links of victims", "flags": "--queue-at-most n",
	} {
		stdout.Reset()
		require.Equal(t, exitOK,
			execute(t.Context(), []string{"help", "registry", topic}, &stdout, &stderr))
		assert.Contains(t, stdout.String(), want)
	}
	stdout.Reset()
	require.Equal(t, exitOK, execute(t.Context(), []string{"-h"}, &stdout, &stderr))
	assert.Regexp(t, `(?m)^  registry +Run a cluster`, stdout.String())
	assert.NotContains(t, stdout.String(), "registry-child", "it is not for people")

	stdout.Reset()
	require.Equal(t, exitOK, execute(t.Context(), []string{"__complete", "registry", "--disturb", ""},
		&stdout, &stderr))
	assert.Contains(t, stdout.String(), "none\nkill\nrestart\nsplit\nflap\nskew\n")
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}
