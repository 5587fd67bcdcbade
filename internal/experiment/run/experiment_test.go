package run

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/workload"
)

const (
	folder     = "../../../testdata/scenarios"
	smallTrace = "../../../testdata/traces/small.arc"
)

func parse(t *testing.T, flags ...string) *Params {
	t.Helper()
	p, err := Experiment.Parse(flags...)
	require.NoError(t, err)
	return p
}

func TestDefaultIsTheScenarioFile(t *testing.T) {
	assert.Equal(t, parse(t), parse(t, "--scenario", filepath.Join(folder, "run-default.yaml")))
}

func TestShippedScenarios(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	for _, name := range []string{"run-default.yaml", "burst-shrink.yaml"} {
		p := parse(t, "--scenario", filepath.Join(folder, name))
		_, err := p.space()
		require.NoError(t, err)
		require.Contains(t, string(readme), "| `"+name+"` |", "the README has no row for it")
	}
}

// What is left of a replay is the hit ratio, unless flags or a file say otherwise.
func TestReplay(t *testing.T) {
	p := parse(t, "--trace", smallTrace)
	assert.Equal(t, []any{24 * time.Hour, 1, workload.Mix{Read: 100}, time.Duration(0), 0.0,
		workload.Latency{}}, []any{p.Duration, p.Workers, p.Mix, p.TTL, p.Jitter, p.Latency})
	p = parse(t, "--trace", smallTrace, "--workers", "3", "--ttl", "1m", "--jitter", "0.2", "--mix",
		"write:1", "--duration", "5s", "--origin-latency", "2ms")
	assert.Equal(t, []any{5 * time.Second, 3, workload.Mix{Write: 1}, time.Minute, 0.2,
		fixed(t, 2*time.Millisecond)}, []any{p.Duration, p.Workers, p.Mix, p.TTL, p.Jitter, p.Latency})

	path := filepath.Join(t.TempDir(), "replay.yaml")
	require.NoError(t, os.WriteFile(path, []byte("trace: small.arc\nworkers: 2\n"), 0o600))
	text, err := os.ReadFile(smallTrace)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "small.arc"), text, 0o600))
	p = parse(t, "--scenario", path)
	assert.Equal(t, []any{2, time.Duration(0), 20_000}, []any{p.Workers, p.TTL, p.Replay.Len()})
}

func TestPlaceOfTheFault(t *testing.T) {
	for _, tt := range []struct {
		flags      []string
		start, end time.Duration
	}{
		{nil, 2 * time.Second, 5 * time.Second},
		{[]string{"--duration", "20s"}, 4 * time.Second, 10 * time.Second},
		{[]string{"--start", "6s"}, 6 * time.Second, 9 * time.Second},
		{[]string{"--start", "9s"}, 9 * time.Second, 10 * time.Second},
		{[]string{"--end", "3s"}, 2 * time.Second, 3 * time.Second},
		{[]string{"--trace", smallTrace}, 0, 24 * time.Hour},
	} {
		p := parse(t, append(tt.flags, "--fault", "panic")...)
		assert.Equal(t, []time.Duration{tt.start, tt.end}, []time.Duration{p.Start, p.End}, tt.flags)
	}
}

func TestLimitsOfTheCache(t *testing.T) {
	o := parse(t).options()
	assert.Equal(t, []uint64{10_000, 0}, []uint64{uint64(o.Capacity), o.MaxWeight})
	o = parse(t, "--max-bytes", "1MiB").options()
	assert.Equal(t, []uint64{0, 1 << 20}, []uint64{uint64(o.Capacity), o.MaxWeight})
	o = parse(t, "--max-bytes", "1MiB", "--capacity", "5").options()
	assert.Equal(t, []uint64{5, 1 << 20}, []uint64{uint64(o.Capacity), o.MaxWeight})
}
