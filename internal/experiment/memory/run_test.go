package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/workload"
)

// small returns parameters of a short run, and an environment that starts a cell's process.
func small(t *testing.T, cell string) (Params, lab.Env) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	t.Setenv(cellVariable, cell)
	p := defaults()
	p.Entries, p.Phase, p.Rate, p.Seed = 20_000, 150*time.Millisecond, 20_000, 3
	p.ValueSize, err = workload.FixedSize(50)
	require.NoError(t, err)
	p.GOGC, p.Limits, p.TTL = []int{100}, nil, 0
	Experiment.Complete(&p, nil) // all stores
	return p, lab.Env{Child: []string{self}}
}

// Every store goes through all phases, with the configured entries and traffic.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: 18 cells, each of them a process")
	}
	p, e := small(t, "serve")
	var shown []string
	e.Progress = func(part float64, what string) {
		shown = append(shown, fmt.Sprintf("%.3f %s", part, what))
	}
	p.Limits, p.LimitGOGC = Limits{{Bytes: 64 << 20}, {Times: 20}}, GOGCs{Off}
	p.TTL = 3 * time.Second // longer than filling a store takes on a busy machine
	p.Stores = []string{Map, GolangLRU, Uncompacted, Shedding, Expirable, Snowfence}
	r, err := Run(t.Context(), &p, e)
	require.NoError(t, err)
	require.False(t, r.Partial)
	require.Len(t, r.Cells, 3*5+3)
	require.Len(t, shown, len(r.Cells))
	require.Equal(t, "0.500 GOGC=off GOMEMLIMIT=64MiB  snowfence", shown[9])
	require.Equal(t, "0.889 GOGC=100 TTL 3s  golang-lru-expirable", shown[16])
	for _, cell := range r.Cells {
		name := cell.Store
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
		require.InDelta(t, p.Entries, most, float64(p.Entries)/20, name)
		require.Equal(t, 200, cell.Samples[len(cell.Samples)-1].Entries, name)
		require.Greater(t, cell.Objects, float64(p.Entries)*0.8, name) // a limit may have shed some
		require.Greater(t, cell.Live, 50*cell.Objects*0.8, name)
		require.Positive(t, cell.PauseP99, name)
		require.LessOrEqual(t, cell.PauseP99, cell.Pause(), name)
		require.Greater(t, cell.HitRatio(), 0.8, name)
		require.Positive(t, cell.Ops, name)
		require.Positive(t, cell.Samples[len(cell.Samples)-1].Cycles, name)
	}
	tables := page(&p, r).Tables
	require.Len(t, tables, 4, "one for each setting")
	text, err := tables[3].Markdown()
	require.NoError(t, err)
	for _, name := range []string{Expirable, Uncompacted, Snowfence} {
		require.Contains(t, text, name)
	}
	require.Len(t, r.Charts(), 4*3)
	require.Contains(t, r.Finding(), "Where entries expired")
	require.Contains(t, r.Finding(), "Under GOGC=off GOMEMLIMIT=64MiB")
	require.Len(t, r.Checks(), 2+2) // no limit was reached
	limit := r.Cells[10].Limit
	require.Greater(t, limit, int64(leastLimit), "a multiple of what the leanest had live")
}

func TestCellThatFails(t *testing.T) {
	for cell, want := range map[string]string{"garbage": "its output is no JSON",
		"silence": errIncomplete.Error()} {
		p, e := small(t, cell)
		_, err := Run(t.Context(), &p, e)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "map, GOGC=100")
	}
}

// The cells measured before one that fails are returned.
func TestCellThatFailsLeavesThoseBeforeIt(t *testing.T) {
	p, e := small(t, "serve")
	p.Stores = []string{Map, Snowfence}
	e.Progress = func(part float64, _ string) {
		if part > 0 {
			t.Setenv(cellVariable, "garbage")
		}
	}
	r, err := Run(t.Context(), &p, e)
	require.ErrorContains(t, err, "snowfence, GOGC=100: its process has ended: its output is no JSON")
	require.True(t, r.Partial)
	require.Len(t, r.Cells, 1)
}

// An interrupt stops the current cell.
func TestInterrupt(t *testing.T) {
	p, e := small(t, "stuck")
	ctx, cancel := context.WithCancel(t.Context())
	e.Progress = func(float64, string) { time.AfterFunc(50*time.Millisecond, cancel) }
	r, err := Run(ctx, &p, e)
	require.NoError(t, err)
	require.True(t, r.Partial)
	require.Empty(t, r.Cells)
	require.Equal(t, "The run was stopped before there was anything to see.", page(&p, r).Finding)

	p, e = small(t, "serve")
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	e.Progress = func(part float64, _ string) {
		if part > 0 {
			cancel()
		}
	}
	r, err = Run(ctx, &p, e)
	require.NoError(t, err)
	require.True(t, r.Partial)
	require.Len(t, r.Cells, 1)
}

func TestServeRefuses(t *testing.T) {
	good, _ := small(t, "")
	job := func(change func(*Job)) string {
		j := Job{Store: Map, Setting: Setting{GOGC: 100}, Params: good}
		change(&j)
		text, err := json.Marshal(j)
		require.NoError(t, err)
		return string(text)
	}
	for _, text := range []string{
		"", "no", job(func(j *Job) { j.Store = "x" }), job(func(j *Job) { j.Params.Entries = 5 }),
		job(func(j *Job) { j.GOGC = Off }), job(func(j *Job) { j.Params.Phase = time.Hour * 2 }),
		job(func(j *Job) { j.TTL = time.Second }),
	} {
		require.Error(t, serve(strings.NewReader(text), &strings.Builder{}), text)
	}
	require.NoError(t, serve(strings.NewReader(job(func(*Job) {})), &strings.Builder{}))
}
