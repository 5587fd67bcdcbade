package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/internal/leak"
)

const nodeVariable = "PEERLOAD_TEST_NODE"

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

func TestValues(t *testing.T) {
	at := time.Unix(0, 1234567890123456789)
	value := makeValue("key/7", 42, at, 100)
	require.Len(t, value, 100)
	key, version, issued, ok := readValue(value)
	require.True(t, ok)
	require.Equal(t, "key/7", key)
	require.EqualValues(t, 42, version)
	require.True(t, at.Equal(issued))
	_, _, _, ok = readValue(makeValue("k", 1, at, 0))
	require.True(t, ok, "too short for the padding")
	for _, bad := range []string{"", "a", "a b c d", "a 1 c d", "a b 1 d"} {
		_, _, _, ok := readValue([]byte(bad))
		require.False(t, ok, bad)
	}
}

// moments of a calm run, in slots.
func calmMoments() []moment {
	list := make([]moment, 60)
	for i := range list {
		list[i] = moment{loads: 10, fetches: 100, p99: 20 * time.Millisecond}
	}
	return list
}

func TestHeal(t *testing.T) {
	const start, end = 4 * time.Second, 7 * time.Second
	at := func(s float64) int { return int(s * float64(time.Second) / float64(slot)) }
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

func TestValidate(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	for want, change := range map[string]func(c *Config){
		"nodes: 0: want 1 to 64": func(c *Config) {
			c.Nodes = 0
		},
		"ownership: []: want at least one": func(c *Config) {
			c.Ownerships = nil
		},
		"ownership: raft: want key, slot, ring or none": func(c *Config) {
			c.Ownerships = []Ownership{"raft"}
		},
		"duration: 1s: want at least 2s, to be measured": func(c *Config) {
			c.Duration = time.Second
		},
		"rate: 0: want above 0, at most 100000": func(c *Config) {
			c.Rate = 0
		},
		"keys: 0: want 1 to 10000000": func(c *Config) {
			c.Keys = 0
		},
		"zipf: 0.5: want 0 (all keys alike) or above 1, at most 10": func(c *Config) {
			c.Zipf = 0.5
		},
		"size: -1: want 0 to 1048576 bytes": func(c *Config) {
			c.Size = -1
		},
		"ttl: -1s: want 0 (for ever) or more": func(c *Config) {
			c.TTL = -time.Second
		},
		"capacity: 0: want at least 1": func(c *Config) {
			c.Capacity = 0
		},
		"peer-timeout: 1ns: want 0 (the default) or at least 1ms": func(c *Config) {
			c.PeerTimeout = 1
		},
		"deadline: 0s: want above 0": func(c *Config) {
			c.Deadline = 0
		},
		"origin-latency: -1s: want 0 or more": func(c *Config) {
			c.OriginLatency = -time.Second
		},
		"origin-errors: 2: want a share from 0 to 1": func(c *Config) {
			c.OriginErrors = 2
		},
		"start: 0s: want at least 1s, to know what it was like before": func(c *Config) {
			c.Disturb, c.Start = Kill, 0
		},
		"end: 5s: want later than start (5s)": func(c *Config) {
			c.Disturb, c.End = Kill, 5*time.Second
		},
		"end: 20s: want at most duration (15s)": func(c *Config) {
			c.Disturb, c.End = Kill, 20*time.Second
		},
		"victims: 3: want at least 1, fewer than nodes": func(c *Config) {
			c.Disturb, c.Victims = Restart, 3
		},
		"nodes: 1: want at least 2 for --disturb rolling": func(c *Config) {
			c.Disturb, c.Nodes = Rolling, 1
		},
		"nodes: 2: want at least 3 for --disturb poison, since two may die": func(c *Config) {
			c.Disturb, c.Nodes = Poison, 2
		},
		"ttl: 4s: want less than from start to end (4s), so that the key is loaded in " +
			"between": func(c *Config) {
			c.Disturb, c.TTL = Poison, 4*time.Second
		},
		"nodes: 1: want at least 2 for --disturb split": func(c *Config) {
			c.Disturb, c.Nodes = Split, 1
		},
		"disturb: rain: want none, kill, restart, pause, split, rolling, origin-slow, origin-fail or " +
			"poison": func(c *Config) {
			c.Disturb = "rain"
		},
	} {
		c := DefaultConfig()
		change(&c)
		err := c.Validate()
		require.EqualError(t, err, want)
		require.ErrorAs(t, err, new(*FieldError))
		_, err = Execute(t.Context(), c)
		require.EqualError(t, err, want, "before any work")
	}
	_, err := Execute(t.Context(), DefaultConfig())
	require.EqualError(t, err, "peerload: no command for the nodes' processes")
}

// A pause is refused before any work where processes can't be paused.
func TestNoPause(t *testing.T) {
	defer func(before bool) { pausable = before }(pausable)
	pausable = false
	c := DefaultConfig()
	c.Disturb = Pause
	err := c.Validate()
	require.EqualError(t, err, "disturb: pause: want another one, since pausing a process "+
		"needs SIGSTOP, which "+runtime.GOOS+" lacks")
	require.ErrorAs(t, err, new(*FieldError))
	_, again := Execute(t.Context(), c)
	require.Equal(t, err, again, "before any work")
}

// What is sent over a cut link is lost, what comes is kept back, and none can be opened; then all
// works again.
func TestDialer(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("hello"))
		})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	defer func() { require.NoError(t, server.Close()); <-ended }()
	d := newDialer()
	transport := d.transport()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	call := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listener.Addr().String(),
			http.NoBody)
		require.NoError(t, err)
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.ReadAll(answer.Body)
		return err
	}
	require.NoError(t, call(10*time.Second))
	d.set([]string{listener.Addr().String()})
	require.ErrorIs(t, call(50*time.Millisecond), context.DeadlineExceeded)
	require.ErrorIs(t, call(50*time.Millisecond), context.DeadlineExceeded)
	d.set([]string{"127.0.0.1:1"})
	require.Eventually(t, func() bool { return call(time.Second) == nil }, 20*time.Second,
		time.Millisecond)
}

// The load begins by the clock, and what happens while the process does not run is nobody's fault.
func TestLoad(t *testing.T) {
	l := newLoad(nodeConfig{Name: "n", Rate: 1000, Keys: 5, TTL: time.Second, Deadline: time.Second,
		Seed: rand.Uint64()})
	fetch := func(_ context.Context, key string) ([]byte, error) {
		switch key {
		case keyName(0):
			return makeValue(key, 1, time.Now(), 0), nil
		case keyName(1):
			return makeValue(key, 1, time.Now().Add(-time.Minute), 0), nil // stale
		case keyName(2):
			return makeValue("another", 1, time.Now(), 0), nil // wrong
		case keyName(3):
			return nil, fmt.Errorf("load: %w", errOrigin)
		default:
			return nil, errors.New("who knows")
		}
	}
	l.run(t.Context(), time.Now(), 300*time.Millisecond, fetch)
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
	self, err := os.Executable()
	require.NoError(t, err)
	run := func(t *testing.T, c Config) *Result {
		t.Helper()
		c.Command = []string{"env", nodeVariable + "=1", self}
		r, err := Execute(t.Context(), c)
		require.NoError(t, err)
		require.False(t, r.Partial)
		require.Len(t, r.Runs, len(c.Ownerships))
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
	base := DefaultConfig()
	base.Duration, base.Start, base.End, base.Rate, base.Keys = 3*time.Second, time.Second,
		2*time.Second, 100, 200
	base.TTL = time.Minute
	base.Deadline, base.Seed = 5*time.Second, 3

	t.Run("calm", func(t *testing.T) {
		t.Parallel()
		c := base
		c.Ownerships = []Ownership{ByKey, ByRing, None}
		if !testing.Short() {
			c.Ownerships = append(c.Ownerships, BySlot)
		}
		c.Duration = 2 * time.Second
		c.PeerTimeout = 4 * time.Second // a busy machine makes no owner silent
		r := run(t, c)
		for _, x := range r.Runs {
			if x.Ownership == None {
				assert.Greater(t, x.Loads.Total, x.Loads.Ideal*3/2,
					"without a cluster nodes load the same keys")
				continue
			}
			// A machine that is starved makes nodes silent, or unknown to each other for a moment.
			why := x.Loads.Reasons
			starved := why[reasonInPlace] + why[reasonChange] + why[reasonLate] + why[reasonFailed]
			assert.Equal(t, x.Loads.Ideal, x.Loads.Total-starved, "%s: each key once", x.Ownership)
			if starved == 0 {
				assert.Equal(t, []uint64{x.Loads.Total}, x.Loads.Same)
			}
			assert.Nil(t, x.Before.Errors)
		}
	})
	disturbances := []Disturb{Kill, Restart, Pause, Split, Rolling, OriginSlow, OriginFail, Poison}
	if testing.Short() {
		disturbances = []Disturb{Restart, Split, Poison}
	}
	for _, d := range disturbances {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			c := base
			c.Disturb, c.Ownerships = d, []Ownership{ByKey}
			if d == Rolling {
				c.Duration, c.End = 9*time.Second, 4*time.Second // a node that leaves takes its time
			}
			if d == Poison {
				c.Duration, c.TTL, c.Nodes = 4*time.Second, 500*time.Millisecond, 5
			}
			x := run(t, c).Runs[0]
			switch d {
			case Poison:
				assert.Len(t, x.Struck, x.Poison.Deaths)
				assert.Equal(t, maxDeaths, x.Poison.Deaths)
				assert.Zero(t, x.Poison.Others)
				assert.NotZero(t, x.Poison.Refused)
				assert.True(t, x.Poison.Again.Exists())
			case OriginFail:
				assert.NotZero(t, x.During.Errors[errorLoad])
				assert.Empty(t, x.Struck)
			case OriginSlow:
				assert.Greater(t, time.Duration(float64(x.During.Latency.Max)*float64(time.Second)),
					900*time.Millisecond)
			case Rolling:
				assert.Len(t, x.Struck, 3)
			default:
				assert.Equal(t, []string{"node3"}, x.Struck)
			}
			if d != OriginFail {
				assert.Zero(t, x.During.Errors[errorLoad])
			}
			if d == Split {
				assert.NotZero(t, x.Stats.AskFailures, "who is cut off can't be asked")
			}
		})
	}
}

// A run that is stopped gives what was measured so far, and leaves no process.
func TestStopped(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	c := DefaultConfig()
	c.Command = []string{"env", nodeVariable + "=1", self}
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(p Progress) {
		if p.Doing == Running && p.Fetches > 0 {
			cancel()
		}
	}
	r, err := Execute(ctx, c)
	require.NoError(t, err)
	require.True(t, r.Partial)
	require.Len(t, r.Runs, 1)
}

// The run before one that fails has been measured, and is not lost.
func TestRunThatFailsLeavesTheOneBeforeIt(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	c := DefaultConfig()
	c.Ownerships, c.Nodes, c.Duration, c.Rate = []Ownership{None, ByRing}, 1, 2*time.Second, 50
	c.Command = []string{"env", nodeVariable + "=1", self}
	c.Progress = func(p Progress) {
		if p.Run == 1 && p.Doing == Starting {
			c.Command[2] = "/no/such/program"
		}
	}
	r, err := Execute(t.Context(), c)
	require.ErrorContains(t, err, "node node1")
	require.True(t, r.Partial)
	require.Len(t, r.Runs, 1)
}

// A process that is no node is named, with what it says.
func TestNoNode(t *testing.T) {
	c := DefaultConfig()
	c.Command = []string{"sh", "-c", "echo what is this >&2; exit 3"}
	_, err := Execute(t.Context(), c)
	require.ErrorContains(t, err, "node node1")
	require.ErrorContains(t, err, "what is this")
}
