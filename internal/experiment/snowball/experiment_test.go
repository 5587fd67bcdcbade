package snowball

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/lab/traffic"
)

const folder = "../../../testdata/scenarios"

var faults = []string{"panic", "goexit", "error", "hang", "child", "slow", "none"}

func TestBuiltin(t *testing.T) {
	for _, fault := range faults {
		p := builtin(t, fault)
		assert.Equal(t, fault, p.Fault.Kind.String())
		assert.NotEqual(t, Expect{}, p.Expect, "%s: --check must have something to check", fault)
		assert.Equal(t, usual, p.Duration)
	}
	slow := builtin(t, "slow")
	assert.Equal(t, []int{20, 32, 1}, []int{slow.Fault.Keys, slow.Workers, slow.MaxWaitingPerKey})
	assert.Equal(t, 0.01, slow.DropOn)
	p, fromFlags := builtin(t, "panic"), defaults()
	fromFlags.Expect = p.Expect
	assert.Equal(t, fromFlags, *p, "help must show the values of the scenario that runs by default")
}

func TestShippedScenarios(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(folder, "snowball-*.yaml"))
	require.NoError(t, err)
	require.Len(t, paths, 6)
	readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	for _, path := range append(paths, filepath.Join(folder, "none.yaml"),
		filepath.Join(folder, "smoke.yaml")) {
		p, err := Experiment.Parse("--check", "--scenario", path)
		require.NoError(t, err)
		require.Contains(t, string(readme), "| `"+filepath.Base(path)+"` |",
			"the README has no row for it")
		space, err := p.Space(p.Seed, true)
		require.NoError(t, err)
		_, share, err := p.Targets(space)
		require.NoError(t, err)
		// What the expectations rest on.
		require.InDelta(t, 0.05, share, 0.005, path)
		if p.DropOff > 0 {
			blocked := p.Rate * share * p.Timeout.Seconds()
			require.Greater(t, blocked, 2*float64(p.Workers), "%s: the pool would not fill", path)
		}
		if n := p.MaxWaitingPerKey; n > 0 {
			require.Less(t, n*p.Fault.Keys, p.Workers, "%s: no worker would be left for others", path)
		}
		require.Positive(t, p.DropOn+p.Expect.Alike, "%s expects nothing", path)
	}
}

// The README names the ranks that fail in the snowball.
func TestReadmeNamesTheKeysThatFail(t *testing.T) {
	p := builtin(t, "panic")
	space, err := p.Space(p.Seed, true)
	require.NoError(t, err)
	keys, share, err := p.Targets(space)
	require.NoError(t, err)
	readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	text := strings.Join(strings.Fields(string(readme)), " ")
	require.Contains(t, text, fmt.Sprintf("the ranks %d to %d, which get %.1f %% of the requests",
		keys[0]+1, keys[4]+1, 100*share))
}

func TestRules(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a closed loop", "seed: 2\nrate: 0\n", "2: rate: must be above 0, got 0"},
		{"writes", "seed: 1\nmix: write:2\n", "2: mix: unknown field"},
		{"stale for a moment", "stale-for: 2s\n",
			"1: stale-for: must be at least as long as the window (3s), got 2s"},
		{"never stale", "stale-for: 8s\nttl: 5s\n",
			"2: ttl: must be below --end (5s), or no value is stale by then, got 5s"},
		{"no soft time-out", "stale: true\nsoft-timeout: 0s\n",
			"2: soft-timeout: must be above 0s, or callers would wait for loads that hang, got 0s"},
		{"callers who leave before", "stale: true\nsoft-timeout: 2s\n",
			"2: soft-timeout: must be below --timeout (2s), after which callers leave, got 2s"},
		{"no TTL", "ttl: 0s\nstale-for: 8s\n",
			"2: stale-for: must be 0 without ttl: no entry ever expires"},
		{"too short", "duration: 500ms\nstart: 200ms\nend: 400ms\n",
			"1: duration: must be from 800ms to 24h, got 500ms"},
		{"no time before", "start: 0s\n",
			"1: start: must be at least 200ms, since what was before is compared with, got 0s"},
		{"a window without length", "start: 2s\nend: 2100ms\n",
			"2: end: must be at least 200ms after start (2s), got 2.1s"},
		{"a window beyond the end", "duration: 3s\nend: 5s\n",
			"2: end: must be at most duration (3s), got 5s"},
		{"two expectations", "expect-alike: 0.1\nexpect-drop-off: 0.1\n",
			"1: expect-alike: must be 0 with expect-drop-off: runs that are alike differ in nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.yaml")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			_, err := Experiment.Parse("--scenario", path)
			require.EqualError(t, err, path+":"+tt.want)
			var field *params.FieldError
			require.ErrorAs(t, err, &field)
		})
	}
}

func TestWindowKeepsItsPlace(t *testing.T) {
	p := builtin(t, "panic", "--duration", "4s", "--stale")
	assert.Equal(t, []time.Duration{time.Second, 2500 * time.Millisecond, 4 * time.Second},
		[]time.Duration{p.Start, p.End, p.StaleFor})
}

// A share can't be asked for where all keys are alike, and the default was not asked for.
func TestNoShareOfKeysThatAreAlike(t *testing.T) {
	for _, law := range []string{"uniform", "scan"} {
		assert.Zero(t, builtin(t, "panic", "--keys", law).Fault.Share)
		_, err := Experiment.Parse("--keys", law, "--fault-share", "0.1")
		require.EqualError(t, err, "--fault-share: must be 0 for "+law+
			" keys (--keys), which are all alike, got 0.1")
	}
}

func TestTraceOfParams(t *testing.T) {
	const trace = "../../../testdata/traces/small.arc"
	p := builtin(t, "panic", "--trace", trace)
	assert.Equal(t, traffic.Keys{Law: p.Law, Count: p.Count, Trace: trace, Replay: p.Replay}, p.Keys)
	assert.Len(t, p.Replay.IDs, 20_000)
}
