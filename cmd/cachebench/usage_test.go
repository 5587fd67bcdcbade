package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// refusedUsage runs a command line that is wrong, and returns what it says.
func refusedUsage(t *testing.T, line string) string {
	t.Helper()
	code, stdout, stderr := cachebench(t.Context(), strings.Fields(line)...)
	assert.Equal(t, exitUsage, code, "%s: %s", line, stderr)
	assert.Empty(t, stdout, line)
	return stderr
}

// A flag that would be ignored is a mistake in the command line.
func TestIgnoredFlagsAreRefused(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"cluster --victims 2", "--victims: has no effect: nothing is disturbed without --disturb"},
		{"cluster --start 2s", "--start: has no effect: nothing is disturbed without --disturb"},
		{"cluster --end 4s", "--end: has no effect"},
		{"cluster --disturb rolling --victims 2",
			"--victims: has no effect: --disturb rolling is for all nodes"},
		{"cluster --disturb origin-slow --victims 1",
			"--victims: has no effect: --disturb origin-slow is for the origin"},
		{"cluster --ownership none --peer-timeout 1s",
			"--peer-timeout: has no effect: with --ownership none"},
		{"cluster --ownership none --copy-ttl 1s", "--copy-ttl: has no effect"},
		{"registry --disturb none --victims 2",
			"--victims: has no effect: with --disturb none no node is disturbed"},
		{"registry --disturb none --contested 0 --start 1s", "--start: has no effect"},
		{"registry --flap-period 1s",
			"--flap-period: has no effect: links flap with --disturb flap alone"},
		{"registry --disturb kill --skew 1s", "--skew: has no effect"},
		{"snowball --fault none --fault-rate 0.5",
			"--fault-rate: has no effect: no load fails with --fault none"},
		{"snowball --trace " + smallTrace + " --key-count 10",
			"--key-count: has no effect: a trace has keys of its own"},
		{"snowball --soft-timeout 10ms",
			"--soft-timeout: has no effect: no caller can have a stale value without --stale"},
		{"run --soft-timeout 10ms", "--soft-timeout: has no effect: no read can have a stale " +
			"value without --stale-for"},
		{"run --fault-keys 3", "--fault-keys: has no effect: no load fails without --fault"},
		{"run --start 1s --fault-slow 2s", "--fault-slow: has no effect"},
		{"run --fault panic --fault-slow 2s",
			"--fault-slow: has no effect: only loads of --fault slow are slow"},
		{"run --trace " + smallTrace + " --key-count 3",
			"--key-count: has no effect: a trace has keys of its own"},
		{"run --trace " + smallTrace + " --scramble", "--scramble: has no effect"},
		{"run --ttl 0s --jitter 0.2", "--jitter: has no effect: without a TTL"},
		{"run --unlinked --fetch-timeout 1s",
			"--fetch-timeout: has no effect: with --unlinked loads have no time-out"},
		{"memory --limit none --limit-gogc off",
			"--limit-gogc: has no effect: with --limit none no run has a limit"},
		{"run --trace " + smallTrace + " --compare-lru --max-bytes 1MiB",
			"--compare-lru: must not be given with --max-bytes"},
	} {
		assert.Contains(t, refusedUsage(t, c.line), c.want, c.line)
	}
}

// The words of the libraries that read flags are for programmers.
func TestFlagErrorsAreForUsers(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"memory --entries many", `cachebench: --entries: must be a whole number, got "many"`},
		{"memory --entries 5", "cachebench: --entries: must be from 1000 to 20000000, got 5\n"},
		{"memory --keep half", `cachebench: --keep: must be a number, got "half"`},
		{"memory --phase 5", `cachebench: --phase: must be a duration such as 250ms, got "5"`},
		{"memory --gogc 50,off", `cachebench: --gogc: must be a whole number, got "off"`},
		{"memory --seed -1", `cachebench: --seed: must be a whole number from 0 on, got "-1"`},
		{"memory --check=perhaps", `cachebench: --check: must be true or false, got "perhaps"`},
		{"memory --stores a\"b", `cachebench: --stores: must be one of all, map, golang-lru, `},
		{"faults --callers 99999999999999999999",
			`cachebench: --callers: must be a whole number, got "99999999999999999999"`},
		{"run --max-bytes 12Q", `cachebench: --max-bytes: must be a whole number of bytes such as 64MiB, got "12Q"`},
		{"run --trace x --trace-format arc --trace-column 2",
			"cachebench: --trace-column: only --trace-format csv has columns, not arc"},
	} {
		said := refusedUsage(t, c.line)
		assert.Contains(t, said, c.want, c.line)
		for _, library := range []string{"strconv", "parsing", "memory: ", "time: ", "trace: Options",
			"parse error"} {
			assert.NotContains(t, said, library, c.line)
		}
	}
}

// What a flag may ask for is bounded by what it costs.
func TestRangesAreBoundedByMemory(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"run --workers 1000000", "--workers: must be from 1 to 100000, got 1000000"},
		{"snowball --workers 1000000", "--workers: must be from 1 to 100000, got 1000000"},
		{"snowball --queue 100000000", "--queue: must be from 1 to 10000000, got 100000000"},
	} {
		assert.Contains(t, refusedUsage(t, c.line), c.want, c.line)
	}
}

// A wrong argument of cobra's own commands is no wish for help.
func TestWrongArgumentsOfDefaultCommands(t *testing.T) {
	assert.Contains(t, refusedUsage(t, "completion tcsh"),
		`unknown command "tcsh" for "cachebench completion"`)
	assert.Contains(t, refusedUsage(t, "completion bash more"),
		`unknown command "more" for "cachebench completion bash"`)
	assert.Contains(t, refusedUsage(t, "help nosuch"),
		`no help for "nosuch"`)
	assert.Contains(t, refusedUsage(t, "help snowbal"), "did you mean snowball?")
	assert.Contains(t, refusedUsage(t, "snowbal"), "did you mean snowball?")
	assert.Contains(t, refusedUsage(t, "help churn nosuch"), "the topics of churn are flags, rows")
	for _, line := range []string{"completion", "completion zsh", "help", "help run",
		"help completion bash"} {
		code, stdout, stderr := cachebench(t.Context(), strings.Fields(line)...)
		assert.Equal(t, exitOK, code, line)
		assert.NotEmpty(t, stdout, line)
		assert.Empty(t, stderr, line)
	}
}

// An error about what a flag said names the flag, and no file: a built-in scenario's user has none
// to look into, and a file of the user's is not to blame for a flag.
func TestErrorsNameFlagsForWhatFlagsSaid(t *testing.T) {
	window := file(t, "window.yaml",
		"duration: 4s\nfault: panic\nstart: 400ms\nend: 2s\nfault-share: 0.1\n")
	nodes := file(t, "nodes.yaml", "experiment: registry\ndisturb: kill\nvictims: 4\n")
	for _, c := range []struct{ line, want string }{
		{"snowball --start 6s",
			"cachebench: --end: must be at least 200ms after --start (6s), got 5s\n"},
		{"snowball --duration 3s --start 1s",
			"cachebench: --end: must be at most --duration (3s), got 5s\n"},
		{"registry --start 6s",
			"cachebench: --end: must be at least 100ms after --start (6s), got 5s\n"},
		{"run --fault panic --fault-keys 7 --key-count 5",
			"cachebench: --fault-keys: must be at most --key-count (5), got 7\n"},
		{"snowball --scenario " + window + " --start 3s", window +
			":4: end: must be at least 200ms after --start (3s), got 2s\n"},
		{"run --scenario " + window + " --keys uniform", window +
			":5: fault-share: must be 0 for uniform keys (--keys), which are all alike, got 0.1\n"},
		{"registry --scenario " + nodes + " --disturb flap --nodes 3 --victims 4",
			"cachebench: --victims: must leave a node alone: at most 3 of 3 (--nodes), got 4\n"},
		{
			"snowball --fault panic --trace " + smallTrace + " --fault-share 0 --fault-keys 9999",
			"cachebench: --fault-keys: must be at most 5853, which is all keys of the trace, got 9999\n",
		},
	} {
		said := refusedUsage(t, c.line)
		assert.Contains(t, said, c.want, c.line)
		assert.NotContains(t, said, "built-in", c.line)
	}
	_, _, stderr := cachebench(t.Context(), "snowball", "--scenario", nodes)
	require.Contains(t, stderr, nodes+":1: experiment: ")
}

// The help of a command fits a screen of 50 lines and 80 columns; the rest is in its topics.
func TestHelpFitsAScreen(t *testing.T) {
	for _, name := range []string{"", "churn", "cluster", "faults", "memory", "registry", "run",
		"snowball", "store"} {
		code, stdout, _ := cachebench(t.Context(), strings.Fields(name+" --help")...)
		assert.Equal(t, exitOK, code, name)
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		assert.LessOrEqual(t, len(lines), 50, name)
		for _, line := range lines {
			assert.LessOrEqual(t, len([]rune(line)), 80, "%s: %s", name, line)
		}
		topics := 0
		for _, line := range lines {
			topic, ok := strings.CutPrefix(line, "  cachebench help ")
			if !ok {
				continue
			}
			topics++
			words := strings.Fields(strings.Split(topic, "   ")[0])
			code, stdout, _ := cachebench(t.Context(), append([]string{"help"}, words...)...)
			assert.Equal(t, exitOK, code, topic)
			assert.Greater(t, strings.Count(stdout, "\n"), 2, topic)
			for line := range strings.Lines(stdout) {
				assert.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), 80, "%s: %s", topic, line)
			}
		}
		assert.GreaterOrEqual(t, topics, 2, name)
	}
}
