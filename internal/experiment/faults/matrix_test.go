package faults

import (
	"context"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/verdict"
)

var config = Params{
	Callers: 50, Timeout: 200 * time.Millisecond, FetchTimeout: 100 * time.Millisecond,
	SoftTimeout: 50 * time.Millisecond,
}

// harmful are the faults that, with the fix off, make callers wait for their own deadlines and
// leave the key dead.
var harmful = map[string]bool{
	"panic": true, "goexit": true, "hang": true, "hang, callers keep coming": true, "child": true,
	"slow":             true,
	"load in own load": true,
}

func TestMatrix(t *testing.T) {
	for _, callers := range []int{2, 50} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config
			cfg.Callers = callers
			var seen []string
			m, err := Run(t.Context(), &cfg, lab.Env{Progress: func(part float64, what string) {
				require.InDelta(t, float64(len(seen))/float64(3*len(faults)), part, 1e-9)
				seen = append(seen, what)
			}})
			require.NoError(t, err)
			require.Empty(t, broken(m, &cfg))
			require.Len(t, m.Rows, len(faults))
			require.Len(t, seen, 3*len(faults))
			require.Zero(t, m.GoroutinesLeft)
			for i, row := range m.Rows {
				f := faults[i]
				// With the fix on and a clock that moves only while all goroutines wait, callers
				// have their outcomes at once, or at the flight's time-out.
				switch {
				case f.stream:
					require.InDelta(t, cfg.Timeout, row.On.Max.Duration(), float64(5*time.Millisecond), row.Fault)
				case f.waits:
					require.InDelta(t, cfg.FetchTimeout, row.On.Max.Duration(), float64(5*time.Millisecond),
						row.Fault)
				default:
					require.Zero(t, row.On.Max, row.Fault)
				}
				checkStale(t, cfg, &f, row.Stale)
				if !harmful[row.Fault] {
					require.Equal(t, row.On.Saw, row.Off.Saw, row.Fault)
					require.Equal(t, row.On.Loads, row.Off.Loads, row.Fault)
					require.Equal(t, row.On.Next.Value, row.Off.Next.Value, row.Fault)
					continue
				}
				require.Equal(t, []Seen{{verdict.Deadline, callers}}, row.Off.Saw, row.Fault)
				require.InDelta(t, cfg.Timeout, row.Off.Median.Duration(), float64(5*time.Millisecond),
					row.Fault)
				require.Equal(t, Next{Kind: verdict.Deadline, Took: measured.Of(cfg.Timeout)}, row.Off.Next,
					row.Fault)
				require.Equal(t, 1, row.Off.Loads, row.Fault)
			}
		})
	}
}

// broken returns the checks that do not hold, one a line.
func broken(m *Matrix, p *Params) string {
	var lines []string
	for _, c := range m.Checks(p) {
		if !c.OK {
			lines = append(lines, c.Name+": "+c.Detail)
		}
	}
	return strings.Join(lines, "\n")
}

// checkStale requires that callers that can have a stale value get it at once or after the soft
// time-out, on a clock that moves only while all goroutines wait.
func checkStale(t *testing.T, cfg Params, f *fault, c *Cell) {
	t.Helper()
	soft := time.Duration(0)
	if f.soft() {
		soft = cfg.SoftTimeout
	}
	require.Equal(t, soft, c.SoftTimeout.Duration(), f.name)
	require.InDelta(t, soft, c.Max.Duration(), float64(5*time.Millisecond), f.name)
	require.NotNil(t, c.FreshAfter, f.name)
	if !f.fails {
		require.Zero(t, *c.FreshAfter, f.name)
		return
	}
	require.GreaterOrEqual(t, c.count(verdict.Stale), cfg.Callers/waves(cfg.Callers), f.name)
	require.LessOrEqual(t, c.FreshAfter.Duration(), cfg.SoftTimeout+5*time.Millisecond, f.name)
	if !f.stream {
		require.Equal(t, []Seen{{verdict.Stale, cfg.Callers}}, c.Saw, f.name)
	}
	if !f.soft() {
		require.Equal(t, Next{Kind: verdict.Stale, Value: old}, c.Next, f.name)
	}
}

// with runs the trials of the given faults instead of all.
func with(t *testing.T, cfg Params, others ...fault) (*Matrix, error) {
	t.Helper()
	all := faults
	defer func() { faults = all }()
	faults = others
	return Run(t.Context(), &cfg, lab.Env{})
}

// named returns the fault called name.
func named(name string) fault {
	for i := range faults {
		if faults[i].name == name {
			return faults[i]
		}
	}
	panic(name)
}

// This runs on the real clock, with as many callers as a busy service may have.
func TestMatrixOnTheRealClock(t *testing.T) {
	cfg := config
	cfg.Callers = 200
	m, err := with(t, cfg, named("panic"), named("hang"), named("hang, callers keep coming"),
		named("first caller gone"))
	require.NoError(t, err)
	for i := range m.Rows {
		f := named(m.Rows[i].Fault)
		require.Empty(t, m.Rows[i].On.problems(&f, cfg.Callers), f.name)
		require.Empty(t, m.Rows[i].Stale.staleProblems(&f, cfg.Callers), f.name)
	}
}

// A machine that does not run the process for a while does not fail the checks: neither during the
// setup of a trial, nor before the callers have their outcomes.
func TestVerdictRestsOnNoClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := named("panic")
		late.meanwhile = func(*trial) { time.Sleep(time.Hour) }
		slowly := named("panic")
		slowly.load = func(_ context.Context, t *trial) (string, error) {
			t.strike()
			time.Sleep(config.Timeout / 2)
			panic(errInjected)
		}
		m, err := with(t, config, late, slowly)
		require.NoError(t, err)
		for i, row := range m.Rows {
			require.Empty(t, row.On.problems(&late, config.Callers), i)
			require.Empty(t, row.Stale.staleProblems(&late, config.Callers), i)
		}
		require.Equal(t, config.Timeout/2, m.Rows[1].On.Median.Duration(), "it is shown all the same")
	})
}

// If a flight's time-out passes before all callers have joined it, the trial is repeated with twice
// the time-out.
func TestFetchTimeoutGrowsUntilCallersAreTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Params{
			Callers: 50, SoftTimeout: 10 * time.Microsecond, FetchTimeout: 20 * time.Microsecond,
			Timeout: 40 * time.Microsecond,
		}
		hang := named("hang")
		began := time.Now()
		m, err := with(t, cfg, hang)
		require.NoError(t, err)
		require.Empty(t, m.Rows[0].On.problems(&hang, cfg.Callers))
		require.Greater(t, m.Rows[0].On.FetchTimeout.Duration(), cfg.FetchTimeout)
		require.Empty(t, m.Rows[0].Stale.staleProblems(&hang, cfg.Callers))
		require.Greater(t, m.Rows[0].Stale.SoftTimeout.Duration(), cfg.SoftTimeout)
		rest := time.Second // the courier's pause after a second late flight in a row
		require.Less(t, time.Since(began), rest+time.Second, "no wait for callers that left")
	})
}

// If the callers of a trial do not come together, Run returns the rows before it.
func TestFailedTrialLeavesTheRowsBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alone := named("none")
		alone.firstLeaves = true // its load does not wait, so no caller can join it
		m, err := with(t, config, named("none"), alone, named("none"))
		require.ErrorIs(t, err, errSetup)
		require.Len(t, m.Rows, 1)
		require.Contains(t, broken(m, &config), "panic: it was not tried")
		require.True(t, page(&config, m).Partial)
		require.Contains(t, page(&config, m).Finding, "The run ended after ")
		require.Zero(t, m.GoroutinesLeft)
	})
}

// In a stream, at least the first wave gets the stale value, and the others that or a fresh one.
func TestStaleStream(t *testing.T) {
	stream := named("hang, callers keep coming")
	again := new(measured.Value)
	for _, c := range []struct {
		saw  []Seen
		want []string
	}{
		{[]Seen{{verdict.Value, 40}, {verdict.Stale, 10}}, nil},
		{[]Seen{{verdict.Stale, 50}}, nil},
		{[]Seen{{verdict.Value, 45}, {verdict.Stale, 5}},
			[]string{"5 callers too many saw value instead of stale"}},
		{[]Seen{{verdict.Value, 40}, {verdict.Canceled, 10}},
			[]string{"10 callers too many saw cancelled instead of stale"}},
	} {
		cell := &Cell{Saw: c.saw, Next: Next{Kind: verdict.Value, Value: fresh}, Loads: 2,
			FreshAfter: again}
		require.Equal(t, c.want, cell.staleProblems(&stream, 50))
	}
}

func TestSpend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, stop := time.Now(), make(chan struct{})
		require.True(t, spend(time.Second, stop))
		require.Equal(t, time.Second, time.Since(began))
		time.AfterFunc(time.Second, func() { close(stop) })
		require.False(t, spend(time.Minute, stop))
	})
}

// The checks must fail for cells with the fix off in the place of those with the fix on.
func TestProblemsNameEachCell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := Run(t.Context(), &config, lab.Env{})
		require.NoError(t, err)
		for i := range m.Rows {
			m.Rows[i].On, m.Rows[i].Stale = m.Rows[i].Off, m.Rows[i].On
		}
		m.GoroutinesLeft = 3
		text := broken(m, &config)
		for i := range faults {
			name := faults[i].name + ", fix on: "
			require.Equal(t, harmful[faults[i].name], strings.Contains(text, name), "%s\n%s", name, text)
			// The same for cells without a stale value in the place of those with one.
			require.Regexp(t, `(?m)^`+faults[i].name+
				", stale value there: .*no caller got a fresh value afterwards", text)
			if faults[i].fails && !faults[i].stream {
				require.Contains(t, text, faults[i].name+", stale value there: 50 callers too many saw ")
			}
		}
		for _, part := range []string{
			"panic, fix on: 50 callers too many saw deadline instead of panic",
			`instead of panic; the next caller got "deadline", wanted: "loaded anew"; 1 loads, wanted: 2`,
			"hang, callers keep coming, fix on: 40 callers too many saw deadline instead of value",
			"panic, stale value there: 50 callers too many saw panic instead of stale",
			`instead of stale; the next caller got "loaded anew", wanted: "the stale value"`,
			"hang, stale value there: 50 callers too many saw time-out instead of stale",
			"hang, callers keep coming, stale value there: 10 callers too many saw deadline instead of " +
				"stale",
			"3 goroutines were left",
		} {
			require.Contains(t, text, part)
		}
	})
}

func TestInterruptedMatrixHasFewerRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m, err := Run(ctx, &config, lab.Env{Progress: func(_ float64, what string) {
			if what == "panic, fix off" {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
		}})
		require.NoError(t, err)
		require.True(t, page(&config, m).Partial)
		require.Len(t, m.Rows, 2)
		require.Zero(t, m.GoroutinesLeft)
		require.Contains(t, broken(m, &config), "panic: it was not tried")
	})
}

func TestMatrixAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := Run(t.Context(), &config, lab.Env{})
		require.NoError(t, err)
		text, err := json.Marshal(m)
		require.NoError(t, err)
		var back struct {
			Rows []struct {
				Fault string
				Off   struct {
					Saw []struct {
						Kind  string
						Count int
					} `json:"callers_saw"`
					Median float64 `json:"median_seconds"`
				}
			}
		}
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, "panic", back.Rows[2].Fault)
		require.Equal(t, "deadline", back.Rows[2].Off.Saw[0].Kind)
		require.Equal(t, 50, back.Rows[2].Off.Saw[0].Count)
		require.InDelta(t, 0.2, back.Rows[2].Off.Median, 0.005)
	})
}

// Where the fix is broken callers wait in vain, and the trial ends nevertheless.
func TestNoCallerEverGetsAFreshValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := cache.Options[string, string]{Courier: []courier.Option{courier.WithUnlinked()}}
		withStale(&options, config, 0)
		c, err := cache.New(options)
		require.NoError(t, err)
		x := &trial{cfg: config, setting: staleValue, cache: c}
		x.makeStale()
		go func() {
			_, _ = c.Fetch(t.Context(), key, func(context.Context, string) (string, error) {
				runtime.Goexit()
				return "", nil
			})
		}()
		synctest.Wait()
		ended := make(chan *measured.Value, 1)
		go func() { ended <- x.freshAgain(t.Context()) }()
		select {
		case took := <-ended:
			require.Nil(t, took)
		case <-time.After(time.Hour):
			t.Error("it waits for ever")
		}
		require.NoError(t, c.Close())
	})
}
