package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallSnowball is the built-in service at a quarter of its size.
var smallSnowball = []string{"snowball", "--rate", "500", "--workers", "8", "--queue", "128"}

// snowballOnFakeClock runs the command until its end, or for the given time if
// that is not 0. No goroutine may be left: the bubble sees to that.
func snowballOnFakeClock(
	t *testing.T, stopAfter time.Duration, args ...string,
) (code int, stdout, stderr string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		if stopAfter > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, stopAfter)
			defer cancel()
		}
		var o, e bytes.Buffer
		code = execute(ctx, append(smallSnowball[:len(smallSnowball):len(smallSnowball)], args...), &o,
			&e)
		stdout, stderr = o.String(), e.String()
	})
	return code, stdout, stderr
}

func TestSnowballCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	code, stdout, stderr := snowballOnFakeClock(t, 0, "--check", "--out", dir)
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
	assert.Empty(t, stderr, "no progress where there is no terminal")
	assert.NotContains(t, stdout, "\x1b")
	assert.Contains(t, stdout, "500 events/s for 8 s, twice. From 2 s to 5 s the fetch of 5 keys "+
		"(4.8 % of the events) panics.")
	assert.Regexp(t, `failing keys still dead at the end ↓ +[1-5] of 5 +0 of 5`, stdout)
	assert.Regexp(t, `(?s)Fix off: healthy\s+throughput\s+fell`, stdout)
	assert.Contains(t, stdout, "pass     fix off: healthy throughput falls during the fault")
	assert.NotContains(t, stdout, "FAIL")
	for _, name := range []string{"report.html", "snowball.svg", "series.csv", "result.json"} {
		assert.Contains(t, stdout, filepath.Join(dir, name))
	}

	page := readFile(t, dir, "report.html")
	for _, part := range []string{"cachebench snowball --rate 500 --workers 8 --queue 128 --check " +
		"--out ", "expect-drop-off: 0.5", "fault: fetch of 5 keys panics",
		`class="lead">Fix off`, "<dt>fix off</dt>", "<dt>time to recover</dt>"} {
		//nolint:testifylint // would print the page
		assert.True(t, strings.Contains(page, part), "the page must have %q", part)
	}
	for _, foreign := range []string{"<script ", "<link", "<img", "src=", "@import", "url(http"} {
		//nolint:testifylint // would print the page
		assert.False(t, strings.Contains(page, foreign), "the page must need nothing else: %s", foreign)
	}
	for _, attribute := range regexp.MustCompile(`href="[^"]*"`).FindAllString(page, -1) {
		assert.True(t, strings.HasPrefix(attribute, `href="#`), attribute)
	}
	assert.Contains(t, readFile(t, dir, "snowball.svg")[:300], "<svg ")

	rows, err := csv.NewReader(strings.NewReader(readFile(t, dir, "series.csv"))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 161)
	columns := []string{
		"healthy_per_second", "healthy_offered_per_second", "healthy_latency_p99_seconds", "queue_depth",
		"blocked_callers",
		"workers_on_failing_keys", "goroutines", "heap_bytes", "timeouts_per_second", "drops_per_second",
		"abandoned_functions",
		"answered_per_second",
	}
	want := []string{"t_seconds"}
	for _, fix := range []string{"off_", "on_"} {
		for _, c := range columns {
			want = append(want, fix+c)
		}
	}
	assert.Equal(t, want, rows[0])
	assert.Equal(t, "0.05", rows[1][0])
	assert.Equal(t, "8", rows[160][0])

	var result map[string]any
	require.NoError(t, json.Unmarshal([]byte(readFile(t, dir, "result.json")), &result))
	assert.Len(t, result["files"], 5)
	assert.Contains(t, readFile(t, dir, "tables.md"), "| healthy events/s before the fault")
}

func readFile(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	return string(text)
}

func TestSnowballJSON(t *testing.T) {
	code, stdout, stderr := snowballOnFakeClock(t, 0, "--json", "--fault", "goexit", "--seed", "7",
		"--duration", "4s")
	require.Equal(t, exitOK, code, stderr)
	var result struct {
		Command string
		Partial bool
		Finding string
		Params  struct {
			Seed       uint64
			Start, End string
		}
		Result struct {
			Off map[string]any `json:"fix_off"`
			On  map[string]any `json:"fix_on"`
		}
		Checks []any
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &result), "the table must not be printed")
	assert.Equal(t, uint64(7), result.Params.Seed)
	assert.False(t, result.Partial)
	assert.Empty(t, result.Checks)
	assert.Contains(t, result.Command, "--fault goexit")
	assert.Equal(t, "1s", result.Params.Start, "the window keeps its place in a shorter run")
	assert.Equal(t, "2.5s", result.Params.End)
	assert.NotEmpty(t, result.Finding)
	off, on := result.Result.Off, result.Result.On
	assert.Equal(t, off["fingerprint"], on["fingerprint"])
	assert.Nil(t, off["recovery_seconds"], "it did not recover")
	assert.Equal(t, 0.0, on["recovery_seconds"])
	assert.Less(t, off["healthy_share_inside"], 0.7)
	assert.Greater(t, on["healthy_share_inside"], 0.95)
}

func TestSnowballCheckFails(t *testing.T) {
	// Nothing goes wrong, so the expected effect is not there.
	code, stdout, stderr := snowballOnFakeClock(t, 0, "--check", "--fault-rate", "0")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stdout, "Both runs are alike")
	assert.Contains(t, stdout, "FAIL     fix off: healthy throughput falls during the fault")
	assert.Regexp(t, `^cachebench: 2 of 3 checks did not hold:
  fix off: healthy throughput falls during the fault: to (99|100)\.\d % of what was offered; wanted: at most 50\.0 %
  fix on: callers of failing keys learn of it soon: after – in the median; wanted: at most 100 ms
$`, stderr)

	// The same expectations on a service with room for those who wait.
	code, _, stderr = snowballOnFakeClock(t, 0, "--check", "--workers", "500")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "cachebench: 1 of 3 checks did not hold:\n  fix off: ")
}

func TestSnowballStopped(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := snowballOnFakeClock(t, 4*time.Second, "--out", dir)
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "cachebench: stopped before the end; the result is partial\n", stderr)
	assert.Regexp(t, `healthy events/s during the fault \(of offered\) ↑ +\d+/s \(\d+\.\d %\) +–`,
		stdout, "what was measured must be there")
	assert.Contains(t, stdout, "The runs were stopped")
	assert.Contains(t, readFile(t, dir, "report.html"), "The runs were stopped")

	code, stdout, _ = snowballOnFakeClock(t, 4*time.Second, "--json")
	assert.Equal(t, exitFailed, code)
	var result struct {
		Partial bool
		Result  map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &result))
	assert.True(t, result.Partial)
	assert.NotNil(t, result.Result["fix_off"])
	assert.Nil(t, result.Result["fix_on"])
}

func TestSnowballWithStaleValues(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := snowballOnFakeClock(t, 0, "--stale", "--check", "--fault", "hang",
		"--soft-timeout", "40ms", "--out", dir)
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
	for _, part := range []string{
		"500 events/s for 8 s, three times.", "fix on, stale values",
		"failing key's caller gets a value (of offered)",
		"Stale values may be given for 8 s after a TTL of 500 ms, where a load fails or has not ended " +
			"after 40 ms",
		"pass     stale values: no caller of a failing key gets an error",
		"pass     stale values: every caller of a failing key is answered",
		"pass     stale values: callers of failing keys wait for the soft time-out at most",
		"pass     stale values: healthy throughput holds during the fault",
	} {
		assert.Contains(t, stdout, part)
	}
	assert.NotContains(t, stdout, "FAIL")
	page := readFile(t, dir, "report.html")
	for _, part := range []string{"with the courier&#39;s fix off and on, and with stale values",
		"stale values among them", "stale-for: 8s", "<dt>fix on, stale values</dt>"} {
		//nolint:testifylint // would print the page
		assert.True(t, strings.Contains(page, part), "the page must have %q", part)
	}
	assert.Contains(t, readFile(t, dir, "series.csv"),
		",stale_answered_per_second,stale_stale_per_second")

	// A scenario asks for it as well, and a flag takes it out again.
	path := file(t, "stale.yaml", "fault: error\nstale-for: 1m\n")
	code, stdout, stderr = snowballOnFakeClock(t, 0, "--scenario", path, "--check", "--json")
	require.Equal(t, exitOK, code, stderr)
	var result struct {
		Result struct {
			Stale *struct{ Fix string } `json:"fix_on_stale"`
		}
		Checks []struct{ OK bool }
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &result))
	assert.Equal(t, "stale", result.Result.Stale.Fix)
	assert.Len(t, result.Checks, 3, "the scenario itself expects nothing")
	code, stdout, stderr = snowballOnFakeClock(t, 0, "--scenario", path, "--stale=false")
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, stdout, "twice")
	assert.NotContains(t, stdout, "tale value")
}

func TestSnowballScenarioFile(t *testing.T) {
	code, stdout, stderr := snowballOnFakeClock(t, 0, "--scenario",
		filepath.Join("..", "..", "testdata", "scenarios", "smoke.yaml"), "--fault", "error")
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, stdout, "500 events/s for 3 s, twice. From 500 ms to 2 s the fetch of 5 keys "+
		"(4.8 % of the events) returns an error.")
	assert.Contains(t, stdout, "Both runs are alike")
}

func TestSnowballKeys(t *testing.T) {
	trace := filepath.Join("..", "..", "testdata", "traces", "small.arc")
	for _, keys := range []string{"--keys uniform", "--keys zipf:0.8", "--trace " + trace} {
		code, stdout, stderr := snowballOnFakeClock(t, 0, append(strings.Fields(keys), "--duration", "1s",
			"--fault-keys", "3", "--fault-share", "0")...)
		require.Equal(t, exitOK, code, "%s: %s", keys, stderr)
		assert.Contains(t, stdout, "the fetch of 3 keys", keys)
	}
}

func TestSnowballWrongUsage(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	unknown := file("unknown.yaml", "seed: 1\nratee: 5\n")
	closed := file("closed.yaml", "seed: 1\nrate: 0\n")
	plain := file("plain.yaml", "seed: 1\n")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--fault", "crash"},
			`--fault: must be one of panic, goexit, error, hang, child, slow, none, got "crash"`},
		{[]string{"--rate", "many"}, `--rate: must be a number, got "many"`},
		{[]string{"--rate", "0"}, "--rate: must be above 0, got 0"},
		{[]string{"--workers", "0"}, "--workers: must be from 1 to 100000, got 0"},
		{[]string{"--workers", "-3"}, "--workers: must be from 1 to 100000, got -3"},
		{[]string{"--timeout", "2"}, `--timeout: must be a duration such as 250ms, got "2"`},
		{[]string{"--fault-rate", "1.5"}, "--fault-rate: must be from 0 to 1, got 1.5"},
		{[]string{"--start", "6s"},
			"cachebench: --end: must be at least 200ms after --start (6s), got 5s"},
		{[]string{"--fault-keys", "5000"}, "--fault-keys: must be at most --key-count (1000), got 5000"},
		{[]string{"--max-waiting-per-key", "-1"}, "--max-waiting-per-key: must be at least 0, got -1"},
		{[]string{"--max-waiting-per-key", "32"},
			"--max-waiting-per-key: has no effect: no more than 32 callers can wait, one for each of " +
				"--workers"},
		{[]string{"--keys", "zipf"}, "--keys: must be zipf:SKEW, got \"zipf\""},
		{[]string{"--keys", "trace:none.arc"}, "--keys: "},
		{[]string{"--trace", "none.arc"}, "--trace: none.arc: no such file"},
		{[]string{"--trace", "none.arc", "--keys", "scan"},
			"--keys: has no effect: a trace has keys of its own"},
		{[]string{"--stale", "--ttl", "0s"},
			"--stale-for: must be 0 without --ttl: no entry ever expires"},
		{[]string{"--stale", "--ttl", "6s"},
			"--ttl: must be below --end (5s), or no value is stale by then, got 6s"},
		{[]string{"--stale", "--soft-timeout", "0s"}, "--soft-timeout: must be above 0s"},
		{[]string{"--stale", "--soft-timeout", "2s"},
			"--soft-timeout: must be below --timeout (2s), after which callers leave, got 2s"},
		{[]string{"--stale=perhaps"}, `--stale: must be true or false, got "perhaps"`},
		{[]string{"--duration", "100ms"}, "--duration: must be from 800ms to 24h, got 100ms"},
		{[]string{"--scenario", "missing.yaml"}, "missing.yaml: no such file"},
		{[]string{"--scenario", unknown}, unknown +
			":2: ratee: unknown field (did you mean rate?)"},
		{[]string{"--scenario", closed}, closed + ":2: rate: must be above 0, got 0"},
		{[]string{"--scenario", plain, "--check"},
			"--expect-drop-on: must be above 0 for --check, or another of the flags --expect-...: there " +
				"is nothing to check"},
		{[]string{"--scenario", plain, "--fault", "crash"},
			`--fault: must be one of panic, goexit`},
		{[]string{"--out", filepath.Join(plain, "x")}, "--out: "},
		{[]string{"--nonsense"}, "unknown flag: --nonsense"},
		{[]string{"stray"}, `unknown command "stray"`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := execute(t.Context(), append([]string{"snowball"}, tt.args...), &stdout, &stderr)
			assert.Equal(t, exitUsage, code, stderr.String())
			assert.Contains(t, stderr.String(), tt.want)
			assert.Contains(t, stderr.String(), "Run 'cachebench snowball --help' for usage.")
			assert.Empty(t, stdout.String(), "nothing may run")
		})
	}
}

func TestSnowballHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitOK, execute(t.Context(), []string{"snowball", "-h"}, &stdout, &stderr))
	for _, want := range []string{"Examples:", "--start", "cachebench help snowball rows"} {
		assert.Contains(t, stdout.String(), want)
	}
	for topic, wants := range map[string][]string{
		"rows":   {"time to recover", "queue depth, peak", "with --stale: "},
		"faults": {"goexit   it calls runtime.Goexit"},
		"flags":  {"--expect-drop-off share  (0)"},
	} {
		stdout.Reset()
		require.Equal(t, exitOK, execute(t.Context(), []string{"help", "snowball", topic}, &stdout,
			&stderr))
		for _, want := range wants {
			assert.Contains(t, stdout.String(), want)
		}
	}
}
