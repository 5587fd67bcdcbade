package stacks

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"runtime/pprof"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hang starts a goroutine with a label, and waits for it to run.
func hang(t *testing.T, label string, release chan struct{}) {
	t.Helper()
	running := make(chan struct{})
	go func() {
		pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(Label, label)))
		close(running)
		<-release
	}()
	<-running
}

func TestReadProfile(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hang(t, "one", release)
	for range 3 {
		hang(t, "three", release)
	}
	require.Eventually(t, func() bool { // until all of them wait
		groups, err := read(pprof.Lookup("goroutine"))
		require.NoError(t, err)
		counts := map[string]int64{}
		for _, g := range groups {
			counts[g.labels[Label]] += g.count
			require.NotEmpty(t, g.frames)
			for _, f := range g.frames {
				require.NotEmpty(t, f.function)
			}
		}
		require.Equal(t, map[string]int64{"one": 1, "three": 3}, counts)
		return len(groups) == 2
	}, time.Minute, time.Millisecond)
	assert.Empty(t, take(time.Now()).flights, "none of them has started in a courier")
}

func TestTrim(t *testing.T) {
	const module = "github.com/snowfence/snowfence/"
	for name, test := range map[string]struct {
		functions, want []string
		flight, child   bool
	}{
		"function": {
			[]string{"runtime.gopark", "runtime.chanrecv1", "net.(*conn).Read", "main.load",
				module + "cache.(*Cache[...]).call", module + "cache.(*Cache[...]).flight.func1",
				module + "courier.(*outcome[...]).run", module + "courier.(*flight[...]).run", "runtime.goexit"},
			[]string{"net.(*conn).Read", "main.load"}, true, false,
		},
		"child": {
			[]string{"runtime.gopark", "main.child", module + "courier.(*outcome[...]).run",
				module + "courier.(*flight[...]).spawn.func1"},
			[]string{"main.child"}, true, true,
		},
		"waits for its turn": {
			[]string{"runtime.gopark", module + "courier.(*turns).acquire", module + "courier.(*flight[...]).run"},
			[]string{"runtime.gopark", module + "courier.(*turns).acquire", module + "courier.(*flight[...]).run"},
			true, false,
		},
		"a nested fetch": {
			[]string{module + "courier.(*flight[...]).wait", "main.load", module + "courier.(*flight[...]).run"},
			[]string{module + "courier.(*flight[...]).wait", "main.load"}, true, false,
		},
		"a test of the courier": {
			[]string{module + "courier_test.hang", module + "courier.(*flight[...]).run"},
			[]string{module + "courier_test.hang"}, true, false,
		},
		"started by a function": {[]string{"runtime.gopark", "main.load.func1"}, nil, false, false},
		"empty":                 {nil, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var g group
			for _, f := range test.functions {
				g.frames = append(g.frames, frame{function: f})
			}
			require.Equal(t, test.flight, g.trim())
			if !test.flight {
				return
			}
			var got []string
			for _, f := range g.frames {
				got = append(got, f.function)
			}
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.child, g.kind == child)
		})
	}
}

func TestWhere(t *testing.T) {
	std := func(function string) frame { return frame{function, standardSource + "net/net.go", 1} }
	for want, frames := range map[string][]frame{
		"main.load (main.go:3)": {std("net.(*conn).Read"), {"main.load", "/app/main.go", 3}},
		"pq.(*conn).recv (conn.go:9), called by main.load (main.go:3)": {
			std("net.(*conn).Read"), {"github.com/lib/pq.(*conn).recv", "/mod/pq/conn.go", 9},
			std("database/sql.(*DB).Query"), {"main.load", "/app/main.go", 3}},
		"net.(*conn).Read (net.go:1)": {std("net.(*conn).Read")},
	} {
		assert.Equal(t, want, where(frames))
	}
	assert.Equal(t, "gopkg.in/yaml.v3", packageOf("gopkg.in/yaml%2ev3.Unmarshal"))
	assert.Equal(t, "main", packageOf("main.(*T[...]).load.func1"))
}

// In a bubble a source rests for an hour of the bubble's clock, and then for twice as long.
func TestRecentRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var source Source
		first := Recent(&source)
		assert.Same(t, first, Recent(&source))
		time.Sleep(bubbleRest - 1)
		assert.Same(t, first, Recent(&source))
		_, err := first.Of("1", time.Now())
		assert.ErrorIs(t, err, ErrTooSoon)
		_, err = first.Of("1", time.Now().Add(-2*time.Hour))
		assert.ErrorIs(t, err, errGone)
		time.Sleep(time.Nanosecond)
		second := Recent(&source)
		assert.NotSame(t, first, second)
		time.Sleep(2*bubbleRest - 1)
		assert.Same(t, second, Recent(&source))
	})
}

func TestTooManyGoroutines(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for range maxGoroutines {
		go func() { <-release }()
	}
	_, err := take(time.Now()).Of("1", time.Time{})
	assert.ErrorContains(t, err, "are too many for a profile, of which 10000 are the most")
}

// A malformed profile is an error, and never a panic or an endless loop.
func FuzzParse(f *testing.F) {
	var zipped bytes.Buffer
	require.NoError(f, pprof.Lookup("goroutine").WriteTo(&zipped, 0))
	unzip, err := gzip.NewReader(&zipped)
	require.NoError(f, err)
	b, err := io.ReadAll(unzip)
	require.NoError(f, err)
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte{profileSample<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(_ *testing.T, b []byte) {
		groups, err := parse(b)
		if err != nil {
			return
		}
		for i := range groups {
			groups[i].trim()
		}
	})
}

// What a profile costs for a number of goroutines with stacks of their own, as is stated in this
// package and for courier.TimeoutError.
func BenchmarkTake(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			release := make(chan struct{})
			defer close(release)
			for i := range n {
				running := make(chan struct{})
				go func() {
					pprof.SetGoroutineLabels(
						pprof.WithLabels(context.Background(), pprof.Labels(Label, strconv.Itoa(i))))
					close(running)
					<-release
				}()
				<-running
			}
			for b.Loop() {
				if _, err := read(pprof.Lookup("goroutine")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
