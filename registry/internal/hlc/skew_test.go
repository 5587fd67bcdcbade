package hlc

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// hears passes a clock messages of a node for longer than probation, until the wall clock shows
// wall and the node's clock shows theirs. It returns the result of the last Heard.
func hears(c *Clock, node string, theirs, wall int64) bool {
	for _, ago := range []int64{probation, probation / 2} {
		c.Heard(node, theirs-ago, wall-ago)
	}
	return c.Heard(node, theirs, wall)
}

// Offsets are those of the others' wall clocks from ours, in seconds; one second is tolerated.
func TestWhoIsTooFarAhead(t *testing.T) {
	for _, c := range []struct {
		offsets []int
		ahead   int // beyond the tolerance
	}{
		{[]int{}, 0},
		{[]int{0}, 0},
		{[]int{-1}, 0},
		{[]int{-5}, 4}, // of two nodes the one ahead is held back
		{[]int{5}, 0},  // and not the one behind
		{[]int{-5, -5}, 4},
		{[]int{-5, 0}, 0}, // one other is slow
		{[]int{-5, 5}, 0},
		{[]int{-5, -5, 0, 0}, 0},
		{[]int{-5, -5, -5, 0}, 4},
		{[]int{-9, -5, -3, -2}, 2}, // the median, not the worst
		{[]int{-9, -9, -9, 9, 9, 9}, 0},
		{[]int{-9, -9, -9, 9, 9}, 8}, // the lower of two in the middle
	} {
		t.Run(fmt.Sprint(c.offsets), func(t *testing.T) {
			clock, wall := New(time.Second), int64(1e18)
			for _, ago := range []int64{probation, probation / 2, 0} {
				for i, o := range c.offsets {
					clock.Heard(strconv.Itoa(i), wall-ago+int64(o)*skew, wall-ago)
				}
			}
			require.Equal(t, time.Duration(c.ahead)*time.Second, clock.Stats().Ahead)
			require.Equal(t, wall-int64(c.ahead)*skew, clock.Now(wall).Nanos)
			limit, _ := clock.Limit(wall)
			require.Equal(t, wall-int64(c.ahead)*skew, limit.Nanos)
		})
	}
}

func TestBeingAheadIsFoundOnce(t *testing.T) {
	c, wall := New(time.Second), int64(1e18)
	before := c.Now(wall)
	require.True(t, hears(c, "b", wall-10*skew, wall))
	after := c.Now(wall)
	require.Negative(t, after.Compare(before), "the clock starts again from the limit")
	require.Equal(t, wall-9*skew, after.Nanos)
	for i := range int64(5) {
		require.False(t, c.Heard("b", wall-10*skew+i, wall+i))
	}
	_, clamps := c.Limit(wall)
	require.EqualValues(t, 1, clamps)

	// The clock is corrected, and then becomes wrong again.
	wall += 10 * probation
	require.False(t, c.Heard("b", wall, wall))
	require.Zero(t, c.Stats().Ahead)
	require.Equal(t, wall, c.Now(wall).Nanos)
	wall += 10 * probation
	require.True(t, hears(c, "b", wall-10*skew, wall))
	_, clamps = c.Limit(wall)
	require.EqualValues(t, 2, clamps)
}

func TestANodeThatIsGoneHasNoSay(t *testing.T) {
	c, wall := New(time.Second), int64(1e18)
	hears(c, "b", wall-10*skew, wall)
	require.NotZero(t, c.Stats().Ahead)
	c.Forget("b")
	c.Heard("d", wall, wall)
	require.Zero(t, c.Stats().Ahead)
}

// While a clock is held back, other nodes' timestamps are compared with the time at which it is
// held.
func TestAClockThatIsHeldBackIsNotCarriedAway(t *testing.T) {
	c, wall := New(time.Second), int64(1e18)
	hears(c, "b", wall-10*skew, wall)
	require.False(t, c.Observe(Timestamp{Nanos: wall}, wall),
		"that is as far ahead of the others as we were")
	require.True(t, c.Observe(Timestamp{Nanos: wall - 8*skew}, wall))
}

// If a majority of clocks agree, every node's readings stay within the tolerance of the newest good
// one.
func TestAMajorityBoundsEverybody(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.SampledFrom([]int{3, 5, 7}).Draw(r, "nodes")
		offsets := make([]int64, n)
		for i := range offsets {
			if i <= n/2 {
				offsets[i] = rapid.Int64Range(-skew/4, skew/4).Draw(r, "good")
			} else {
				offsets[i] = rapid.Int64Range(-1000*skew, 1000*skew).Draw(r, "bad")
			}
		}
		newest := slices.Max(offsets[:n/2+1])
		for i := range offsets {
			c, wall := New(time.Second), int64(1e18)+offsets[i]
			for _, ago := range []int64{probation, probation / 2, 0} {
				for j := range offsets {
					if i != j {
						c.Heard(strconv.Itoa(j), int64(1e18)+offsets[j]-ago, wall-ago)
					}
				}
			}
			require.LessOrEqual(r, c.Now(wall).Nanos, int64(1e18)+newest+skew)
			if i <= n/2 {
				require.Equal(r, wall, c.Now(wall+1).Nanos-1, "a good clock is never held back")
			}
		}
	})
}

// After a pause, a process receives messages that are as old as the pause. It must not consider its
// own clock ahead.
func TestMessagesThatWaitedForThisNodeDoNotCount(t *testing.T) {
	for name, known := range map[string]bool{"of nodes that it knows": true,
		"of nodes that are new": false} {
		t.Run(name, func(t *testing.T) {
			c, wall := New(time.Second), int64(1e18)
			for i := range int64(10) {
				if known {
					c.Heard("b", wall+i, wall+i)
					c.Heard("d", wall+i, wall+i)
				}
			}
			for range 3 {
				before := wall
				wall += 15 * skew // the process is paused
				for i := range int64(100) {
					sent := before + i*15*skew/100
					require.False(t, c.Heard("b", sent, wall+i))
					require.False(t, c.Heard("d", sent, wall+i))
				}
				require.Zero(t, c.Stats().Ahead)
				wall += 2 * skew
				c.Heard("b", wall, wall)
				c.Heard("d", wall, wall)
			}
			require.Zero(t, c.Stats())
		})
	}
}

// Messages are late one after the other, but not all messages of a node.
func TestLateMessagesDoNotCountBesideOthers(t *testing.T) {
	c, wall := New(time.Second), int64(1e18)
	for i := range 100 {
		late := int64(0)
		if i%10 != 0 {
			late = 5 * skew
		}
		wall += skew / 5
		require.False(t, c.Heard("b", wall-late, wall))
	}
}

// After a step of the own clock, only later messages count.
func TestASteppedClockIsJudgedAnew(t *testing.T) {
	c, wall := New(time.Second), int64(1e18)
	hears(c, "b", wall, wall)
	theirs := wall
	wall += 3600 * skew
	found := time.Duration(0)
	for range 20 {
		wall, theirs, found = wall+skew, theirs+skew, found+time.Second
		if c.Heard("b", theirs, wall) {
			break
		}
	}
	require.LessOrEqual(t, found, 7*time.Second)
	require.Equal(t, 3599*time.Second, c.Stats().Ahead)
}

// Of two nodes, one whose clock started in 1970 does not hold back the other to 1970.
func TestAClockBeforeItsTimeHasNoSay(t *testing.T) {
	right, wrong := plausible+int64(1e17), int64(3*time.Second)
	c := New(time.Second)
	require.False(t, hears(c, "b", wrong, right))
	require.Equal(t, right, c.Now(right).Nanos)
	require.False(t, hears(c, "d", wrong, right), "nor do two such nodes")
	require.Equal(t, right+1, c.Now(right+1).Nanos)

	// Such clocks count among each other, and against a plausible one.
	c = New(time.Second)
	require.True(t, hears(c, "b", wrong, wrong+10*skew))
	c = New(time.Second)
	require.True(t, hears(c, "b", right, right+10*skew))
}
