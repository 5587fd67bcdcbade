package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/leak"
	"github.com/snowfence/snowfence/internal/measured"
)

const nodeVariable = "CLUSTER_TEST_NODE"

// TestMain is also the program of a node.
func TestMain(m *testing.M) {
	if os.Getenv(nodeVariable) != "" {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leak.Main(m)
}

// testEnv returns the Env of a run whose nodes are processes of this program.
func testEnv(t *testing.T) lab.Env {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return lab.Env{Child: []string{"env", nodeVariable + "=1", self},
		Progress: func(float64, string) {}}
}

func ms(n ...int) (list []time.Duration) {
	for _, x := range n {
		list = append(list, time.Duration(x)*time.Millisecond)
	}
	return list
}

func TestIdeal(t *testing.T) {
	require.EqualValues(t, 0, ideal(nil, time.Second))
	require.EqualValues(t, 1, ideal(ms(5), time.Second))
	require.EqualValues(t, 1, ideal(ms(0, 1, 999), time.Second))
	require.EqualValues(t, 2, ideal(ms(1000, 0, 1500), time.Second), "the order does not matter")
	require.EqualValues(t, 3, ideal(ms(0, 999, 1000, 1999, 2000), time.Second))
	require.EqualValues(t, 1, ideal(ms(0, 5000, 90000), 0), "for ever")
}

func TestSame(t *testing.T) {
	require.Nil(t, same(nil, nil, time.Second))
	require.Equal(t, []uint64{2}, same(nil, ms(0, 1000), time.Second))
	require.Equal(t, []uint64{0, 1}, same(nil, ms(0, 999), time.Second))
	require.Equal(t, []uint64{3, 0, 1}, same([]uint64{2}, ms(0, 1, 2, 1000), time.Second))
	require.Equal(t, []uint64{0, 0, 1}, same(nil, ms(0, 5000, 9000), 0))
}

// No schedule of loads can serve the fetches with fewer than the ideal, and each key's loads within
// its TTLs add up.
func TestIdealAndSameAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := ms(rapid.SliceOfN(rapid.IntRange(0, 10_000), 1, 50).Draw(t, "times")...)
		n := ideal(times, time.Second)
		var loads []time.Duration
		for _, at := range times { // sorted by ideal: a cache that loads when it must
			if len(loads) == 0 || at-loads[len(loads)-1] >= time.Second {
				loads = append(loads, at)
			}
		}
		require.EqualValues(t, len(loads), n)
		require.Equal(t, []uint64{n}, same(nil, loads, time.Second))
	})
}

// calmMoments returns the moments of a calm run.
func calmMoments() []moment {
	list := make([]moment, 60)
	for i := range list {
		list[i] = moment{loads: 10, fetches: 100, p99: 20 * time.Millisecond}
	}
	return list
}

func TestHeal(t *testing.T) {
	const start, end = 4 * time.Second, 7 * time.Second
	at := func(s float64) int { return int(s * float64(time.Second) / float64(interval)) }
	calm := calmMoments()
	require.EqualValues(t, 0, heal(calm, start, end))

	slow := calmMoments()
	for i := at(4); i < at(8); i++ {
		slow[i].p99 = 500 * time.Millisecond
	}
	require.InDelta(t, 1, float64(heal(slow, start, end)), 0.001, "slow until a second after the end")

	failing := calmMoments()
	failing[at(9.1)].errors = 1
	require.InDelta(t, 2.2, float64(heal(failing, start, end)), 0.001, "it counts until it stays well")

	loading := calmMoments()
	loading[at(7.3)].loads = 60
	require.EqualValues(t, 0, heal(loading, start, end), "one alone is noise")
	loading[at(7.7)].loads = 60
	require.InDelta(t, 1, float64(heal(loading, start, end)), 0.401)

	never := calmMoments()
	never[57].loads, never[59].loads = 1000, 1000
	require.False(t, heal(never, start, end).Exists())

	dead := calmMoments()
	for i := at(5); i < len(dead); i++ {
		dead[i] = moment{}
	}
	require.False(t, heal(dead, start, end).Exists(), "no node is left")

	cold := calmMoments()
	for i := range at(2) {
		cold[i].loads = 500
	}
	cold[at(8)].loads, cold[at(8.5)].loads = 100, 100
	require.Positive(t, float64(heal(cold, start, end)),
		"the first loads, into empty caches, set no measure")
}

// A split that never ends may look healed by its loads and latencies.
func TestHealedNodesSeeEachOther(t *testing.T) {
	p := defaults()
	r := &run{p: &p, ended: 7 * time.Second, samples: []countSample{{at: 14 * time.Second}}}
	for _, c := range []struct {
		disturb lab.Disturbance
		apart   time.Duration
		want    measured.Value
	}{
		{lab.Split, 6 * time.Second, 0.5},
		{lab.Split, 8 * time.Second, 1},
		{lab.Split, 14 * time.Second, measured.None()},
		{lab.Kill, 14 * time.Second, 0.5},
	} {
		p.Disturb, r.apart = c.disturb, c.apart
		got := r.healedTogether(0.5)
		require.Equal(t, c.want.Exists(), got.Exists(), c)
		if got.Exists() {
			require.InDelta(t, float64(c.want), float64(got), 1e-9, c)
		}
	}
}

// The load begins by the clock, and what happens while the process does not run is nobody's fault.
func TestLoad(t *testing.T) {
	p := defaults()
	p.Rate, p.KeyCount, p.TTL, p.Timeout, p.Seed = 1000, 5, time.Second, time.Second, rand.Uint64()
	p.Duration = 300 * time.Millisecond
	t.Logf("seed %d", p.Seed)
	l, err := newLoad(nodeConfig{Params: &p, Name: "n"})
	require.NoError(t, err)
	fetch := func(_ context.Context, key string) ([]byte, error) {
		switch key {
		case keyName(0):
			return receive(makeValue(key, 1, 0), time.Now()), nil
		case keyName(1):
			return receive(makeValue(key, 1, 0), time.Now().Add(-time.Minute)), nil // stale
		case keyName(2):
			return receive(makeValue("another", 1, 0), time.Now()), nil // wrong
		case keyName(3):
			return nil, fmt.Errorf("load: %w", errOrigin)
		default:
			return nil, errors.New("who knows")
		}
	}
	l.run(t.Context(), time.Now(), fetch)
	r := l.report()
	require.True(t, r.Done)
	count := make(map[string]uint64)
	keys := make(map[int]uint64)
	for _, one := range r.Ended {
		count[one.Error]++
		keys[one.Key]++
	}
	require.EqualValues(t, 300, r.Begun+r.Missed)
	require.Equal(t, keys[1], r.Stale)
	require.Equal(t, keys[2], r.Wrong)
	require.Equal(t, keys[3], count[errorLoad])
	require.Equal(t, keys[4], count[errorOther])
	require.Contains(t, r.Failure, "who knows")
	require.Empty(t, l.report().Ended, "each is reported once")

	l.beat = time.Now().Add(-time.Second) // it was stopped
	require.True(t, l.missed(time.Now().Add(-time.Millisecond)))
	require.False(t, l.missed(time.Now()))
}

// Each disturbance, with real processes: nobody gets a wrong or stale value or waits too long, and
// each load has a reason.
func TestRuns(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, p *Params) *Result {
		t.Helper()
		r, err := Execute(t.Context(), p, testEnv(t))
		require.NoError(t, err)
		require.False(t, r.Partial)
		require.Len(t, r.Runs, len(p.Ownerships))
		for _, x := range r.Runs {
			assert.Zero(t, x.Wrong)
			assert.Zero(t, x.Stale)
			assert.Zero(t, x.Late, "%s", x.Ownership)
			assert.Empty(t, x.Failure)
			assert.NotZero(t, x.Fetches)
			assert.Empty(t, x.Loads.Broken, "%s: each load has a reason", x.Ownership)
		}
		return r
	}
	base := defaults()
	base.Duration, base.Start, base.End, base.Rate, base.KeyCount = 3*time.Second, time.Second,
		2*time.Second, 100, 200
	base.TTL = time.Minute
	base.Timeout, base.Seed = 5*time.Second, 3

	t.Run("calm", func(t *testing.T) {
		t.Parallel()
		p := base
		p.Ownerships = []Ownership{ByKey, ByRing, None}
		if !testing.Short() {
			p.Ownerships = append(p.Ownerships, BySlot)
		}
		p.Duration = 2 * time.Second
		p.PeerTimeout = 4 * time.Second // a busy machine makes no owner silent
		r := run(t, &p)
		for _, x := range r.Runs {
			if x.Ownership == None {
				assert.Greater(t, x.Loads.Total, x.Loads.Ideal*3/2,
					"without a cluster nodes load the same keys")
				continue
			}
			// A machine that is starved makes nodes silent, or unknown to each other for a moment.
			why := x.Loads.Reasons
			starved := why[reasonInPlace] + why[reasonChange] + why[reasonLate] + why[reasonFailed]
			// It also stops them, and a fetch that was stopped has loaded its key but is not counted.
			assert.LessOrEqual(t, x.Loads.Total-starved-x.Loads.Ideal, x.Lost, "%s: each key once",
				x.Ownership)
			if starved+x.Lost == 0 {
				assert.Equal(t, []uint64{x.Loads.Total}, x.Loads.Same)
			}
			assert.Nil(t, x.Before.Errors)
		}
	})
	disturbances := []lab.Disturbance{lab.Kill, lab.Restart, lab.Pause, lab.Split, lab.Rolling,
		lab.OriginSlow, lab.OriginFail, lab.Poison}
	if testing.Short() {
		disturbances = []lab.Disturbance{lab.Restart, lab.Split, lab.Poison}
	}
	for _, d := range disturbances {
		t.Run(string(d), func(t *testing.T) {
			if d != lab.Poison { // whose deaths need time of the machine
				t.Parallel()
			}
			p := base
			p.Disturb, p.Ownerships = d, []Ownership{ByKey}
			if d == lab.Rolling {
				p.Duration, p.End = 9*time.Second, 4*time.Second // a node that leaves takes its time
			}
			if d == lab.Poison {
				p.Duration, p.TTL, p.Nodes = 7*time.Second, 500*time.Millisecond, 5
				p.End = 3 * time.Second // a busy machine needs more than a second for two deaths
			}
			x := run(t, &p).Runs[0]
			switch d {
			case lab.Poison:
				assert.Len(t, x.Victims, x.Poison.Deaths)
				assert.Equal(t, maxDeaths, x.Poison.Deaths)
				assert.Zero(t, x.Poison.Others)
				assert.NotZero(t, x.Poison.Refused)
				assert.True(t, x.Poison.Again.Exists())
			case lab.OriginFail:
				assert.NotZero(t, x.During.Errors[errorLoad])
				assert.Empty(t, x.Victims)
			case lab.OriginSlow:
				assert.Greater(t, time.Duration(float64(x.During.Latency.Max)*float64(time.Second)),
					900*time.Millisecond)
			case lab.Rolling:
				assert.Len(t, x.Victims, 3)
			default:
				assert.Equal(t, []string{"node3"}, x.Victims)
			}
			if d != lab.OriginFail {
				assert.Zero(t, x.During.Errors[errorLoad])
			}
			if d == lab.Split {
				assert.NotZero(t, x.Stats.AskFailures, "who is cut off can't be asked")
			}
		})
	}
}

// A run that is stopped gives what was measured so far, and leaves no process.
func TestStopped(t *testing.T) {
	p := defaults()
	env := testEnv(t)
	ctx, cancel := context.WithCancel(t.Context())
	env.Progress = func(_ float64, doing string) {
		if strings.Contains(doing, "running") && !strings.Contains(doing, " 0 fetches") {
			cancel()
		}
	}
	r, err := Execute(ctx, &p, env)
	require.NoError(t, err)
	require.True(t, r.Partial)
	require.Len(t, r.Runs, 1)
}

// The run before one that fails has been measured, and is not lost.
func TestRunThatFailsLeavesTheOneBeforeIt(t *testing.T) {
	p := defaults()
	p.Ownerships, p.Nodes, p.Duration, p.Rate = []Ownership{None, ByRing}, 1, 2*time.Second, 50
	env := testEnv(t)
	env.Progress = func(_ float64, doing string) {
		if doing == "ring  starting" {
			env.Child[2] = "/no/such/program"
		}
	}
	r, err := Execute(t.Context(), &p, env)
	require.ErrorContains(t, err, "node node1")
	require.True(t, r.Partial)
	require.Len(t, r.Runs, 1)
}

// A process that is no node is named, with what it says.
func TestNoNode(t *testing.T) {
	p := defaults()
	env := testEnv(t)
	env.Child = []string{"sh", "-c", "echo what is this >&2; exit 3"}
	_, err := Execute(t.Context(), &p, env)
	require.ErrorContains(t, err, "node node1")
	require.ErrorContains(t, err, "what is this")
}
