package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// The clock is false, so that nothing depends on how busy the machine is.
func TestFaultsPrintsTheMatrix(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		code, stdout, stderr := cachebench(t.Context(), "faults", "--check", "--out", dir)
		require.Equal(t, exitOK, code, stderr)
		require.Empty(t, stderr)
		for _, part := range []string{
			"What 50 callers of one load saw", "50 own deadline", "50 panic", "50 goexit", "50 time-out",
			"50 deadlock",
			"50 stale", "the stale value", "The same with the fix on and a stale value there",
			"49 value, 1 cancelled", "load in own load", "loaded anew", "the value that was set",
			"all 12 loads", "hang, callers keep coming", "40 value, 10 own deadline",
			"50 panic; the next caller: loaded anew", "0 were left",
		} {
			require.Contains(t, stdout, part)
		}
		tables, _, _ := strings.Cut(stdout, "Written:")
		for _, line := range strings.Split(tables, "\n") {
			require.LessOrEqual(t, len([]rune(line)), 120, line)
		}
	})
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "50 own deadline")
	require.Contains(t, string(page), `class="lead">With the fix on the callers of all`)
	text, err := os.ReadFile(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	require.True(t, json.Valid(text))
}

func TestFaultsAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code, stdout, stderr := cachebench(t.Context(), "faults", "--callers", "3", "--json")
		require.Equal(t, exitOK, code, stderr)
		var r struct {
			Command, Experiment string
			Params              struct {
				Callers     int
				SoftTimeout string `json:"soft-timeout"`
			}
			Checks []struct{ OK bool }
			Result struct{ Rows []struct{ Fault string } }
		}
		require.NoError(t, json.Unmarshal([]byte(stdout), &r))
		require.Equal(t, "cachebench faults --callers 3 --json", r.Command)
		require.Equal(t, "faults", r.Experiment)
		require.Nil(t, r.Checks, "it was not to be held to them")
		require.Equal(t, 3, r.Params.Callers)
		require.Equal(t, "50ms", r.Params.SoftTimeout)
		require.Len(t, r.Result.Rows, 12)
	})
}

func TestInterruptedFaultsPrintWhatWasDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, stdout, stderr := cachebench(ctx, "faults")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "stopped before the end")
	require.Contains(t, stdout, "What 50 callers")
}

func TestFaultsRefusesBadInput(t *testing.T) {
	for args, want := range map[string][]string{
		"--callers 1":                           {"--callers: must be from 2 to 100000, got 1"},
		"--callers x":                           {"--callers", `"x"`},
		"--timeout 50ms":                        {"--timeout", "50ms", "--fetch-timeout (100ms)"},
		"--fetch-timeout 0s":                    {"--fetch-timeout", "0s"},
		"--soft-timeout 0s":                     {"--soft-timeout", "0s"},
		"--soft-timeout 200ms":                  {"--timeout", "200ms", "--soft-timeout (200ms)"},
		"--timeout 2h":                          {"--timeout", "2h"},
		"--timeout 30s":                         {"--timeout", "below 30s"},
		"--timeout abc":                         {"--timeout", "abc"},
		"--callers 1 --fetch-timeout -1s":       {"--callers", "--fetch-timeout", "-1s"},
		"--what":                                {"--what"},
		"extra":                                 {"extra"},
		"--out " + os.Args[0] + "/not-a-folder": {"--out", "not a directory"},
	} {
		code, stdout, stderr := cachebench(t.Context(),
			append([]string{"faults"}, strings.Fields(args)...)...)
		require.Equal(t, exitUsage, code, "%s: %s", args, stderr)
		require.Empty(t, stdout, args)
		for _, part := range want {
			require.Contains(t, stderr, part, args)
		}
	}
}
