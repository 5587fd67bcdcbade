package traffic_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/lab/traffic"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// groups are those that an experiment with one cache has.
type groups struct {
	Duration time.Duration `name:"duration" help:"how long"`
	traffic.Keys
	traffic.Cache
	traffic.Origin
	traffic.Fault
}

// read returns the parameters that the lines of a file give, and what is wrong with them.
func read(t *testing.T, lines string) (*groups, error) {
	t.Helper()
	g := &groups{
		Duration: 3 * time.Second,
		Keys:     traffic.Keys{Law: workload.KeySpec{Skew: 1}, Count: 100},
		Cache:    traffic.Cache{Capacity: 10, TTL: time.Second},
		Origin:   traffic.Lognormal(time.Millisecond, 9*time.Millisecond),
		Fault:    traffic.Fault{Kind: origin.FaultPanic, Keys: 5, Share: 0.1, Rate: 1, Slow: time.Second},
	}
	g.Start, g.End = time.Second, 2*time.Second
	set := params.Of(g)
	require.NoError(t, set.Parse("x.yaml", []byte("name: x\n"+lines), "x"))
	g.Fault.Complete(&g.Keys, set)
	return g, set.Validate(false, func(c *params.Checker) {
		g.Keys.Check(c)
		g.Cache.Check(c)
		g.Fault.Check(c, &g.Keys, g.Duration, 0)
	})
}

func TestRules(t *testing.T) {
	const trace = "trace: ../../../testdata/traces/small.arc\n"
	for lines, want := range map[string]string{
		"":                               "",
		"ttl: 0s\nstale-for: 1s\n":       "x.yaml:3: stale-for: must be 0 without ttl: no entry ever expires",
		"ttl: 0s\njitter: 0.1\n":         "x.yaml:3: jitter: has no effect: without a TTL there is nothing to vary",
		"end: 4s\n":                      "x.yaml:2: end: must be at most --duration (3s), got 4s",
		"key-count: 4\n":                 "--fault-keys: must be at most key-count (4), got 5",
		"keys: scan\n":                   "",
		"keys: scan\nfault-share: 0.2\n": "x.yaml:3: fault-share: must be 0 for scan keys (keys), which are all alike, got 0.2",
		"fault-slow: 2s\n":               "x.yaml:2: fault-slow: has no effect: only loads of --fault slow are slow",
		"trace-column: 2\n":              "x.yaml:2: trace-column: has no effect: there is no --trace",
		"trace: none.arc\n":              "x.yaml:2: trace: none.arc: no such file or directory",
		trace:                            "",
		trace + "scramble: true\n":       "x.yaml:3: scramble: has no effect: a trace has keys of its own",
		trace + "fault-keys: 9999\n":     "x.yaml:3: fault-keys: must be at most 5853, which is all keys of the trace, got 9999",
		trace + "trace-format: csv\n":    "x.yaml:2: trace: ../../../testdata/traces/small.arc:1: ",
		"trace: x\ntrace-format: keys\ntrace-column: k\n": "x.yaml:4: trace-column: only --trace-format csv has columns, not keys",
	} {
		_, err := read(t, lines)
		if want == "" {
			require.NoError(t, err, lines)
			continue
		}
		require.ErrorContains(t, err, want, lines)
	}
}

func TestKeysThatFail(t *testing.T) {
	for _, lines := range []string{"", "scramble: true\n",
		"trace: ../../../testdata/traces/small.arc\n"} {
		g, err := read(t, lines)
		require.NoError(t, err)
		space, err := g.Space(1, true)
		require.NoError(t, err)
		keys, share, err := g.Targets(space)
		require.NoError(t, err)
		assert.Len(t, keys, 5)
		assert.Positive(t, share)
		fault, err := g.Of(keys)
		require.NoError(t, err)
		failing := uint64(0)
		for key := range g.Size() {
			if fault.Match(key) {
				failing++
				assert.Contains(t, keys, key)
			}
		}
		assert.Equal(t, uint64(5), failing)
		require.NoError(t, fault.Validate())
		assert.Equal(t, []time.Duration{time.Second, 2 * time.Second},
			[]time.Duration{fault.Start, fault.End})
	}
}

// A soft time-out has a meaning where there are stale values.
func TestOptions(t *testing.T) {
	g, err := read(t, "soft-timeout: 5ms\nttl: 1m\njitter: 0.2\nrefresh-at: 0.5\n")
	require.NoError(t, err)
	o := g.Options()
	assert.Equal(t, []any{10, time.Minute, 0.2, 0.5, time.Duration(0)},
		[]any{o.Capacity, o.TTL, o.TTLJitter, o.RefreshAt, o.SoftTimeout})
	g.StaleFor = time.Hour
	o = g.Options()
	assert.Equal(t, []time.Duration{time.Hour, 5 * time.Millisecond},
		[]time.Duration{o.StaleFor, o.SoftTimeout})
}
