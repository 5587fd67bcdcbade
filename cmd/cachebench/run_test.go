package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const smallTrace = "../../testdata/traces/small.arc"

// cachebench runs a command line.
func cachebench(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = execute(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

// file writes a file for a test and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// runJSON is what a program that reads --json relies on.
type runJSON struct {
	Command string
	Partial bool
	Params  struct {
		Seed, Capacity uint64
	}
	Result struct {
		Operations  uint64
		Elapsed     float64 `json:"elapsed_seconds"`
		HitRatio    float64 `json:"hit_ratio"`
		OriginLoads uint64  `json:"origin_loads"`
		Outcomes    []struct {
			Outcome string
			Count   uint64
			P99     float64 `json:"p99_seconds"`
			Max     float64 `json:"max_seconds"`
		}
		Errors map[string]uint64
		Heap   struct{ Start, Peak, End uint64 } `json:"heap_bytes"`
		Late   *struct {
			Max float64 `json:"max_seconds"`
		} `json:"started_late"`
		PlainLRU *struct {
			Requests uint64
			HitRatio float64 `json:"hit_ratio"`
		} `json:"plain_lru"`
	}
	Checks []struct{ OK bool }
}

func decodeRun(t *testing.T, text string) runJSON {
	t.Helper()
	var r runJSON
	require.NoError(t, json.Unmarshal([]byte(text), &r), text)
	return r
}

func TestRunReplaysATrace(t *testing.T) {
	code, stdout, stderr := cachebench(t.Context(), "run", "--trace", smallTrace, "--capacity", "500",
		"--compare-lru", "--json")
	require.Equal(t, exitOK, code, stderr)
	require.Empty(t, stderr)
	r := decodeRun(t, stdout)
	require.Equal(t, uint64(20_000), r.Result.Operations)
	require.Equal(t, r.Result.Operations, r.Result.PlainLRU.Requests)
	require.Greater(t, r.Result.HitRatio, r.Result.PlainLRU.HitRatio-0.01)
	require.Greater(t, r.Result.HitRatio, 0.2)
	require.Less(t, r.Result.HitRatio, 0.9)
	require.False(t, r.Partial)
	require.Nil(t, r.Result.Late)
	require.Contains(t, r.Command, "cachebench run")
	require.Contains(t, r.Command, "--compare-lru")
	require.Equal(t, uint64(500), r.Params.Capacity)
	counts := make(map[string]uint64)
	for _, o := range r.Result.Outcomes {
		counts[o.Outcome] = o.Count
		require.GreaterOrEqual(t, o.Max, o.P99)
	}
	require.Equal(t, r.Result.Operations, counts["hit"]+counts["loaded"])
	require.Equal(t, counts["loaded"], r.Result.OriginLoads)
}

func TestRunPrintsTables(t *testing.T) {
	code, stdout, stderr := cachebench(t.Context(), "run", "--trace", smallTrace, "--capacity", "500",
		"--compare-lru",
		"--min-hit-ratio", "0.01", "--warmup", "1ms")
	require.Equal(t, exitOK, code, stderr)
	for _, part := range []string{
		"20,000 requests for 5,853 keys", "Cache of 500 entries", "1 worker", "reads only",
		"throughput", "hit ratio of plain golang-lru", "difference in percentage points",
		"origin loads per miss",
		"p99.9", "hit ", "loaded ", "goroutines", "Timing an operation costs",
		"The hit ratio is at least",
	} {
		require.Contains(t, stdout, part)
	}
	require.NotContains(t, stdout, "\x1b")
	for _, line := range strings.Split(stdout, "\n")[1:] {
		require.LessOrEqual(t, len([]rune(line)), 120, line)
	}
}

func TestRunOpenLoopWithAFault(t *testing.T) {
	code, stdout, stderr := cachebench(t.Context(), "run", "--rate", "500", "--workers", "8",
		"--duration", "400ms",
		"--keys", "uniform", "--key-count", "20", "--origin-latency", "1ms", "--mix", "read:100", "--ttl",
		"5ms", "--jitter", "0",
		"--fault", "panic", "--fault-keys", "20", "--start", "0s", "--end", "400ms", "--json",
		"--seed", "7")
	require.Equal(t, exitOK, code, stderr)
	r := decodeRun(t, stdout)
	require.Equal(t, uint64(7), r.Params.Seed)
	require.NotNil(t, r.Result.Late)
	require.Positive(t, r.Result.Errors["panic"])
	require.Len(t, r.Result.Errors, 1)
}

func TestRunWritesItsReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "out")
	code, stdout, stderr := cachebench(t.Context(), "run", "--trace", smallTrace, "--out", dir)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, filepath.Join(dir, "report.html"))
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	for _, part := range []string{"<svg", "Hit ratio", "Latency by outcome", "--trace",
		"trace: ../../testdata/traces/small.arc",
		"with a hit ratio of 70.73 %; the origin was asked", "<dt>joined</dt>"} {
		require.Contains(t, string(page), part)
	}
	table, err := os.ReadFile(filepath.Join(dir, "series.csv"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(table), "t_seconds,"), string(table))
	text, err := os.ReadFile(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	require.Equal(t, uint64(20_000), decodeRun(t, string(text)).Result.Operations)
}

func TestRunOfBatches(t *testing.T) {
	code, stdout, stderr := cachebench(t.Context(), "run", "--trace", smallTrace, "--capacity", "5000",
		"--batch", "30", "--json")
	require.Equal(t, exitOK, code, stderr)
	var r struct {
		Params struct{ Batch uint64 }
		Result struct {
			Operations uint64
			HitRatio   float64 `json:"hit_ratio"`
			Loads      uint64  `json:"origin_loads"`
			Keys       struct{ Asked, Hit, Loaded, Joined, Failed uint64 }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	require.Equal(t, uint64(30), r.Params.Batch)
	keys := r.Result.Keys
	require.Equal(t, uint64(20_000), keys.Asked)
	require.Equal(t, uint64(20_000/30+1), r.Result.Operations)
	require.Equal(t, keys.Asked, keys.Hit+keys.Loaded+keys.Joined)
	require.Equal(t, float64(keys.Hit)/20_000, r.Result.HitRatio)
	require.LessOrEqual(t, r.Result.Loads, r.Result.Operations, "a batch is at most one load")
	require.Greater(t, keys.Loaded, r.Result.Loads)

	code, stdout, stderr = cachebench(t.Context(), "run", "--batch", "7", "--duration", "200ms",
		"--rate", "200",
		"--keys", "uniform", "--key-count", "40", "--ttl", "20ms", "--jitter", "0", "--origin-latency",
		"1ms",
		"--fault", "error", "--start", "0s", "--end", "200ms", "--min-hit-ratio", "0.01")
	require.Equal(t, exitOK, code, stderr)
	for _, part := range []string{
		"7 keys at a time", "keys per second", "hit ratio of keys", "origin loads per batch with a miss",
		"Keys of batches",
		"asked for", "A read is a batch of 7 keys.", "Errors of keys", "the load returned an error",
	} {
		require.Contains(t, stdout, part)
	}
	for _, line := range strings.Split(stdout, "\n")[2:] {
		require.LessOrEqual(t, len([]rune(line)), 120, line)
	}
}

func TestRunWithStaleValuesAndRefreshes(t *testing.T) {
	code, stdout, stderr := cachebench(t.Context(), "run", "--rate", "500", "--workers", "8",
		"--duration", "1s",
		"--keys", "uniform", "--key-count", "20", "--origin-latency", "1ms", "--mix", "read:100", "--ttl",
		"100ms", "--jitter", "0",
		"--stale-for", "1m", "--refresh-at", "0.3", "--fault", "panic", "--fault-keys", "20",
		"--start", "500ms", "--end", "1s")
	require.Equal(t, exitOK, code, stderr)
	require.NotContains(t, stdout, "the load panicked")
	require.Regexp(t, `(?m)^stale values given +[1-9]`, stdout)
	require.Regexp(t, `(?m)^refreshes +[1-9]`, stdout)
	require.Regexp(t, `(?m)^stale +[1-9]`, stdout, "an outcome of its own")
}

// Without the soft time-out reads would wait for loads that hang, until their own deadlines.
func TestRunWithASoftTimeout(t *testing.T) {
	code, stdout, stderr := cachebench(t.Context(), "run", "--rate", "500", "--workers", "8",
		"--warmup", "300ms", "--duration", "300ms", "--timeout", "20s",
		"--keys", "uniform", "--key-count", "4", "--origin-latency", "1ms", "--mix", "read:100", "--ttl",
		"20ms", "--jitter", "0",
		"--stale-for", "1m", "--soft-timeout", "10ms", "--fault", "hang", "--fault-keys", "4",
		"--fetch-timeout", "0s",
		"--start", "0s", "--end", "300ms", "--json")
	require.Equal(t, exitOK, code, stderr)
	r := decodeRun(t, stdout)
	require.Empty(t, r.Result.Errors)
	for _, o := range r.Result.Outcomes {
		require.Less(t, o.Max, 10.0, o.Outcome)
	}
}

func TestRunFailsWhereTheHitRatioIsTooLow(t *testing.T) {
	code, stdout, stderr := cachebench(t.Context(), "run", "--trace", smallTrace, "--capacity", "10",
		"--min-hit-ratio", "0.99", "--json")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "1 of 1 checks did not hold")
	r := decodeRun(t, stdout)
	require.Len(t, r.Checks, 1)
	require.False(t, r.Checks[0].OK)
}

func TestInterruptedRunPrintsWhatWasMeasured(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	code, stdout, stderr := cachebench(ctx, "run", "--duration", "1h", "--json", "--origin-latency",
		"1ms")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "stopped before the end; the result is partial")
	r := decodeRun(t, stdout)
	require.True(t, r.Partial)
	require.Less(t, r.Result.Elapsed, 3000.0)
	require.Empty(t, r.Result.Errors)

	code, stdout, _ = cachebench(ctx, "run", "--duration", "1h")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "Latency by outcome")
}

func TestRunRefusesBadInput(t *testing.T) {
	var broken strings.Builder
	for i := range 1200 {
		if i == 999 {
			broken.WriteString("1000 x 0 0\n")
			continue
		}
		fmt.Fprintf(&broken, "%d 1 0 0\n", i+1)
	}
	brokenTrace := file(t, "broken.arc", broken.String())
	unknownField := file(t, "run.yaml", "duration: 1s\nratee: 5\n")
	noFolder := filepath.Join(brokenTrace, "out")
	for _, c := range []struct {
		args string
		want []string
	}{
		{"--capacity -1", []string{"--capacity", "at least 1", "-1"}},
		{"--capacity many", []string{"--capacity", `"many"`}},
		{"--capacity -1 --rate -3", []string{"--capacity", "-1", "--rate", "-3"}},
		{"--nosuch", []string{"--nosuch"}},
		{"extra", []string{"extra"}},
		{"--fault boom", []string{"--fault", "boom", "panic, goexit"}},
		{"--fault panic --end 11s", []string{"--end", "11s", "10s"}},
		{"--fault panic --fault-keys 0", []string{"--fault-keys", "0"}},
		{"--fault-rate 1.5", []string{"--fault-rate", "1.5"}},
		{"--keys zipf:x", []string{"--keys", "zipf:x"}},
		{"--keys trace:x", []string{"--keys: must be one of zipf, uniform"}},
		{"--keys scan --trace x", []string{"--keys: has no effect: a trace"}},
		{"--key-count 0", []string{"--key-count", "0"}},
		{"--mix read:x", []string{"--mix", "read:x"}},
		{"--mix read:0", []string{"--mix", "above 0"}},
		{"--value-size big", []string{"--value-size", "big"}},
		{"--origin-latency quick", []string{"--origin-latency", "quick"}},
		{"--max-bytes 12Q", []string{"--max-bytes", "12Q"}},
		{"--duration 0s", []string{"--duration", "0s"}},
		{"--duration soon", []string{"--duration", "soon"}},
		{"--warmup -1s", []string{"--warmup", "-1s"}},
		{"--timeout 0s", []string{"--timeout", "0s"}},
		{"--workers 0", []string{"--workers", "0"}},
		{"--jitter 2", []string{"--jitter", "2"}},
		{"--refresh-at 1", []string{"--refresh-at: must be at least 0 and below 1, got 1"}},
		{"--refresh-at soon", []string{"--refresh-at", `"soon"`}},
		{"--refresh-at 0.5 --ttl 0s", []string{"--refresh-at: must be 0 without --ttl"}},
		{"--stale-for 1m --ttl 0s", []string{"--stale-for: must be 0 without --ttl"}},
		{"--stale-for -1s", []string{"--stale-for: must be at least 0s, got -1s"}},
		{"--stale-for 1m --soft-timeout -1s", []string{"--soft-timeout: must be at least 0s, got -1s"}},
		{"--batch 0", []string{"--batch: must be from 1 to 100000, got 0"}},
		{"--batch 100001", []string{"--batch: must be from 1 to 100000, got 100001"}},
		{"--batch many", []string{"--batch", `"many"`}},
		{"--batch 5 --sample-hits 9", []string{"--sample-hits: has no effect: of batches (--batch)"}},
		{"--batch 5 --compare-lru --mix read:100 --workers 1",
			[]string{"--compare-lru", "one key at a time", "--batch"}},
		{"--batch 5 --mix write:1", []string{"--batch: has no effect: nothing is read"}},
		{"--sample-hits 0", []string{"--sample-hits", "0"}},
		{"--sample-hits 9 --rate 5", []string{"--sample-hits: has no effect: in an open loop (--rate)"}},
		{"--min-hit-ratio 50", []string{"--min-hit-ratio", "50"}},
		{"--loop", []string{"--loop", "trace"}},
		{"--trace-format csv", []string{"--trace-format: has no effect"}},
		{"--compare-lru", []string{"--compare-lru", "--mix other than read:100", "--workers other than 1"}},
		{"--trace missing.arc", []string{"missing.arc", "no such file"}},
		{"--trace " + smallTrace + " --loop", []string{"--loop", "--duration"}},
		{"--trace " + smallTrace + " --trace-format x", []string{"--trace-format", `"x"`}},
		{"--trace " + brokenTrace, []string{brokenTrace + ":1000: field 2 (count)", `"x"`}},
		{"--scenario missing.yaml", []string{"missing.yaml", "no such file"}},
		{"--scenario " + unknownField,
			[]string{unknownField + ":2: ratee: unknown field", "rate?"}},
		{"--out " + noFolder, []string{"--out", "not a directory"}},
	} {
		code, stdout, stderr := cachebench(t.Context(),
			append([]string{"run"}, strings.Fields(c.args)...)...)
		require.Equal(t, exitUsage, code, "%s: %s", c.args, stderr)
		require.Empty(t, stdout, c.args)
		for _, part := range c.want {
			require.Contains(t, stderr, part, c.args)
		}
		require.Contains(t, stderr, "cachebench run --help", c.args)
	}
}

// --check on a run that no check applies to must not look like a check that held.
func TestCheckOfNothingFails(t *testing.T) {
	code, _, stderr := cachebench(t.Context(), "run", "--trace", smallTrace, "--check")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "--check: nothing of this run can be checked")
}

func TestRunHelp(t *testing.T) {
	for topic, wants := range map[string][]string{
		"":         {"cachebench help run rows", "read:95,write:4,delete:1", "lognormal:2ms,20ms"},
		"rows":     {"origin loads per miss", "keys per second"},
		"outcomes": {"joined   the value came from a load that another call had started"},
		"loops":    {"(coordinated\nomission)"},
		"flags":    {"--sample-hits n  (1)"},
	} {
		code, stdout, stderr := cachebench(t.Context(), strings.Fields("help run "+topic)...)
		require.Equal(t, exitOK, code, stderr)
		for _, want := range wants {
			require.Contains(t, stdout, want)
		}
	}
}

func TestFlagsOverrideAScenario(t *testing.T) {
	path := file(t, "x.yaml", "duration: 1h\nseed: 5\nkey-count: 10\nfault: error\nstart: 10ms\n"+
		"end: 20ms\ncapacity: 7\n")
	dir := t.TempDir()
	code, stdout, stderr := cachebench(t.Context(), "run", "--scenario", path, "--duration", "50ms",
		"--capacity", "8", "--keys", "uniform", "--json", "--out", dir)
	require.Equal(t, exitOK, code, stderr)
	r := decodeRun(t, stdout)
	require.Equal(t, uint64(5), r.Params.Seed)
	page := readFile(t, dir, "report.html")
	for _, part := range []string{"duration: 50ms", "capacity: 8", "keys: uniform", "start: 10ms",
		"key-count: 10"} {
		require.True(t, strings.Contains(page, part), part) //nolint:testifylint // would print the page
	}
}

func TestMaxBytesBoundsTheCache(t *testing.T) {
	code, stdout, stderr := cachebench(t.Context(), "run", "--trace", smallTrace, "--max-bytes",
		"64KiB", "--value-size", "1KiB", "--json")
	require.Equal(t, exitOK, code, stderr)
	var r struct {
		Result struct{ Entries, Evictions int }
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	require.Equal(t, 64, r.Result.Entries)
	require.Positive(t, r.Result.Evictions)
}

func TestCompletion(t *testing.T) {
	code, stdout, _ := cachebench(t.Context(), "completion", "bash")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "__start_cachebench")
	for _, words := range []string{"help churn ", "cluster --ownership slot,"} {
		_, stdout, _ := cachebench(t.Context(), append([]string{"__complete"},
			strings.Split(words, " ")...)...)
		require.Regexp(t, `^(flags\tevery flag|slot,slot\nslot,key\n)`, stdout, words)
	}
	for flag, want := range map[string]string{
		"--fault":        "panic\ngoexit\nerror\nhang\nchild\nslow\nnone\n",
		"--keys":         "zipf:1.01\nuniform\nscan\nzipf-scan:1.01\n",
		"--trace-format": "auto\narc\nkeys\ncsv\n",
		"--scenario":     "yaml\nyml\njson\n",
	} {
		code, stdout, _ := cachebench(t.Context(), "__complete", "run", flag, "")
		require.Equal(t, exitOK, code)
		require.True(t, strings.HasPrefix(stdout, want), "%s: %s", flag, stdout)
	}
}
