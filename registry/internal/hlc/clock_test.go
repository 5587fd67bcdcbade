package hlc

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const skew = int64(time.Second)

// A node's readings rise, whatever the wall clock does and whatever is observed.
func TestReadingsRise(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := New(time.Second)
		wall := rapid.Int64Range(0, 4e18).Draw(r, "wall")
		var last Timestamp
		r.Repeat(map[string]func(*rapid.T){
			"step": func(r *rapid.T) { wall += rapid.Int64Range(-1e12, 1e12).Draw(r, "by") },
			"observe": func(r *rapid.T) {
				ts := Timestamp{wall + rapid.Int64Range(-2*skew, 2*skew).Draw(r, "ahead"),
					rapid.Uint32().Draw(r, "logical")}
				followed := c.Observe(ts, wall)
				require.Equal(r, ts.Nanos <= wall+skew, followed)
				if followed && last.Compare(ts) < 0 {
					last = ts
				}
			},
			"now": func(r *rapid.T) {
				now := c.Now(wall)
				require.Positive(r, now.Compare(last), "%v after %v", now, last)
				require.GreaterOrEqual(r, now.Nanos, wall, "never behind the wall clock")
				last = now
			},
		})
	})
}

// A reading is ahead of the wall clock by at most a step back of that clock, or by the tolerance.
func TestReadingsStayNearTheWallClock(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := New(time.Second)
		wall, highest := int64(1e18), int64(1e18)
		for range rapid.IntRange(1, 50).Draw(r, "n") {
			wall += rapid.Int64Range(-1e9, 1e10).Draw(r, "by")
			highest = max(highest, wall)
			c.Observe(Timestamp{Nanos: wall + rapid.Int64Range(0, 1e15).Draw(r, "ahead")}, wall)
			require.LessOrEqual(r, c.Now(wall).Nanos, highest+skew)
		}
	})
}

func TestAWallClockThatStandsStillCountsOn(t *testing.T) {
	c := New(time.Second)
	require.Equal(t, Timestamp{Nanos: 100}, c.Now(100))
	require.Equal(t, Timestamp{100, 1}, c.Now(100))
	require.Equal(t, Timestamp{100, 2}, c.Now(7))
	require.Equal(t, Timestamp{Nanos: 101}, c.Now(101))
}

func TestTheLogicalPartRunsOver(t *testing.T) {
	c := New(time.Second)
	require.True(t, c.Observe(Timestamp{100, math.MaxUint32}, 100))
	require.Equal(t, Timestamp{Nanos: 101}, c.Now(100))
	require.Equal(t, Timestamp{101, 1}, c.Now(100))
}

func TestWhatIsObserved(t *testing.T) {
	for name, c := range map[string]struct {
		ts       Timestamp
		followed bool
		next     Timestamp
	}{
		"older":               {Timestamp{Nanos: 50}, true, Timestamp{Nanos: 100, Logical: 1}},
		"the same":            {Timestamp{Nanos: 100}, true, Timestamp{Nanos: 100, Logical: 1}},
		"newer":               {Timestamp{500, 3}, true, Timestamp{500, 4}},
		"as far as allowed":   {Timestamp{100 + skew, 0}, true, Timestamp{100 + skew, 1}},
		"further than that":   {Timestamp{101 + skew, 0}, false, Timestamp{Nanos: 100, Logical: 1}},
		"a year ahead":        {Timestamp{3e16, 0}, false, Timestamp{Nanos: 100, Logical: 1}},
		"more by the counter": {Timestamp{100, 9}, true, Timestamp{100, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			clock := New(time.Second)
			clock.Now(100)
			require.Equal(t, c.followed, clock.Observe(c.ts, 100))
			require.Equal(t, c.next, clock.Now(100))
			refused := uint64(1)
			if c.followed {
				refused = 0
			}
			require.Equal(t, refused, clock.Stats().Refused)
		})
	}
}

func TestTimestampsAreOrdered(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		draw := func() Timestamp {
			return Timestamp{rapid.Int64Range(-3, 3).Draw(r, "nanos"),
				rapid.Uint32Range(0, 3).Draw(r, "logical")}
		}
		a, b, c := draw(), draw(), draw()
		require.Equal(r, a.Compare(b), -b.Compare(a))
		require.Equal(r, a == b, a.Compare(b) == 0)
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 {
			require.LessOrEqual(r, a.Compare(c), 0)
		}
	})
}

func TestACopyIsIndependent(t *testing.T) {
	a := New(time.Second)
	a.Now(100)
	a.Heard("b", 0, 100)
	b := a.Clone()
	b.Heard("c", -10*skew, 100)
	require.Equal(t, Timestamp{100, 1}, a.Now(100))
	require.Equal(t, Timestamp{100, 2}, a.Now(100))
	require.Equal(t, Timestamp{100, 1}, b.Now(100))
	require.Len(t, a.peers, 1)
	require.Len(t, b.peers, 2)
}
