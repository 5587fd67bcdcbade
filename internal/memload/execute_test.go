package memload

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// small is a configuration that ends soon.
func small(t *testing.T, cell string) Config {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	t.Setenv(cellVariable, cell)
	return Config{Entries: 20_000, ValueSize: 50, Keep: 0.01, Phase: 150 * time.Millisecond,
		Rate: 20_000, Stores: Stores(),
		GOGC: []int{100}, Seed: 3, Command: []string{self}}
}

// Every store goes through all phases, with the entries and the traffic that it
// is to have.
func TestExecute(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: 18 cells, each of them a process")
	}
	c := small(t, "serve")
	var shown []Progress
	c.Progress = func(p Progress) { shown = append(shown, p) }
	c.Limits, c.LimitGOGC = []Limit{{Bytes: 64 << 20}, {Times: 20}}, []int{Off}
	c.TTL = 3 * time.Second // longer than a busy machine takes to fill a store
	c.Stores = []string{Map, GolangLRU, Uncompacted, Shedding, Expirable, Snowfence}
	r, err := Execute(t.Context(), c)
	require.NoError(t, err)
	require.False(t, r.Partial)
	require.Len(t, r.Cells, 3*5+3)
	require.Len(t, shown, len(r.Cells))
	require.Equal(t, Progress{9, 18, "GOGC=off GOMEMLIMIT=64MiB  snowfence"}, shown[9])
	require.Equal(t, Progress{16, 18, "GOGC=100 TTL 3s  golang-lru-expirable"}, shown[16])
	for _, cell := range r.Cells {
		name := cell.Job.Store
		require.Len(t, cell.Begin, 4, name)
		require.Less(t, cell.Begin[Churn], cell.Begin[Rest], name)
		most := 0
		for i, s := range cell.Samples {
			most = max(most, s.Entries)
			require.Positive(t, s.Heap, name)
			require.GreaterOrEqual(t, s.InUse, s.Heap*0.9, name)
			if i > 0 {
				require.Greater(t, s.T, cell.Samples[i-1].T)
				require.GreaterOrEqual(t, s.CPUSeconds, cell.Samples[i-1].CPUSeconds)
			}
		}
		require.InDelta(t, c.Entries, most, float64(c.Entries)/20, name)
		require.Equal(t, 200, cell.Samples[len(cell.Samples)-1].Entries, name)
		require.Greater(t, cell.Objects, float64(c.Entries)*0.8, name) // a limit may have shed some
		require.Greater(t, cell.Live, 50*cell.Objects*0.8, name)
		require.Positive(t, cell.PauseP99, name)
		require.LessOrEqual(t, cell.PauseP99, cell.Pause(), name)
		require.Greater(t, cell.HitRatio(), 0.8, name)
		require.Positive(t, cell.Ops, name)
		require.Positive(t, cell.Samples[len(cell.Samples)-1].Cycles, name)
	}
	text, err := r.Table().Markdown()
	require.NoError(t, err)
	for _, name := range Stores() {
		require.Contains(t, text, name)
	}
	require.Len(t, r.Charts(), 4*3)
	require.Contains(t, r.Finding(), "Where entries expired")
	require.Contains(t, r.Finding(), "Under GOGC=off GOMEMLIMIT=64MiB")
	require.Len(t, r.Checks(), 2+2) // no limit was reached
	limit := r.Cells[10].Job.Limit
	require.Greater(t, limit, int64(leastLimit), "a multiple of what the leanest had live")
}

func TestCellThatFails(t *testing.T) {
	for cell, want := range map[string]string{"garbage": "its output is no JSON",
		"silence": errIncomplete.Error()} {
		_, err := Execute(t.Context(), small(t, cell))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "map, GOGC=100")
	}
}

// The cells before one that fails have been measured, and are not lost.
func TestCellThatFailsLeavesThoseBeforeIt(t *testing.T) {
	c := small(t, "serve")
	c.Stores = []string{Map, Snowfence}
	c.Progress = func(p Progress) {
		if p.Cell == 1 {
			t.Setenv(cellVariable, "garbage")
		}
	}
	r, err := Execute(t.Context(), c)
	require.ErrorContains(t, err, "snowfence, GOGC=100: its process has ended: its output is no JSON")
	require.True(t, r.Partial)
	require.Len(t, r.Cells, 1)
}

// An interrupt stops the cell that runs.
func TestInterrupt(t *testing.T) {
	c := small(t, "stuck")
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(Progress) { time.AfterFunc(50*time.Millisecond, cancel) }
	_, err := Execute(ctx, c)
	require.Error(t, err)

	c = small(t, "serve")
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	c.Progress = func(p Progress) {
		if p.Cell == 1 {
			cancel()
		}
	}
	r, err := Execute(ctx, c)
	require.NoError(t, err)
	require.True(t, r.Partial)
	require.Len(t, r.Cells, 1)
}

func TestServeRefuses(t *testing.T) {
	for _, job := range []string{"", "no", `{"store":"x"}`, `{"store":"map","gogc":100,"entries":5}`,
		`{"store":"map","gogc":-1,"entries":5000,"phase_ns":1000000000,"rate":100}`} {
		require.Error(t, Serve(strings.NewReader(job), &strings.Builder{}), job)
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"--entries: want .*, got 1":      func(c *Config) { c.Entries = 1 },
		"--value-size: want .*, got -1":  func(c *Config) { c.ValueSize = -1 },
		"--keep: want .*, got 2":         func(c *Config) { c.Keep = 2 },
		"--phase: want .*, got 1ns":      func(c *Config) { c.Phase = 1 },
		"--rate: want .*, got 0":         func(c *Config) { c.Rate = 0 },
		"--stores: want .*, got none":    func(c *Config) { c.Stores = nil },
		"--stores: want .*, got olric":   func(c *Config) { c.Stores = []string{Map, "olric"} },
		"--stores: want .*, got map":     func(c *Config) { c.Stores = []string{Map, Map} },
		"--gogc: want .*, got 0":         func(c *Config) { c.GOGC = []int{100, 0} },
		"--gogc: want .*, got -1":        func(c *Config) { c.GOGC = []int{Off} },
		"--gogc: want .*, got none":      func(c *Config) { c.GOGC, c.Limits, c.TTL = nil, nil, 0 },
		"--limit: want .*, got 1048576":  func(c *Config) { c.Limits = []Limit{{Bytes: 1 << 20}} },
		"--limit: want .*, got 0.9x":     func(c *Config) { c.Limits = []Limit{{Times: 0.9}} },
		"--limit: want .*, got 1.1x":     func(c *Config) { c.GOGC = nil },
		"--limit-gogc: want .*, got 0":   func(c *Config) { c.LimitGOGC = []int{Off, 0} },
		"--limit-gogc: want .*, got no":  func(c *Config) { c.LimitGOGC = nil },
		"--gogc: want .*, got 100":       func(c *Config) { c.GOGC = []int{100, 100} },
		"--stores: want .*, got golang-": func(c *Config) { c.Stores, c.TTL = []string{Expirable}, 0 },
		"--ttl: want .*, got 1ms":        func(c *Config) { c.TTL = time.Millisecond },
	} {
		c := DefaultConfig()
		require.NoError(t, c.Validate())
		change(&c)
		err := c.Validate()
		var field *FieldError
		require.ErrorAs(t, err, &field)
		require.Regexp(t, "^"+want, err)
	}
}
