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

// Offsets are of the others' wall clocks against ours, in seconds; one second is tolerated.
func TestWhoIsTooFarAhead(t *testing.T) {
	for _, c := range []struct {
		offsets []int
		ahead   int // of what is tolerated
	}{
		{[]int{}, 0},
		{[]int{0}, 0},
		{[]int{-1}, 0},
		{[]int{-5}, 4}, // of two nodes the one ahead gives way
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
			for i, o := range c.offsets {
				clock.Heard(strconv.Itoa(i), wall+int64(o)*skew, wall)
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
	require.True(t, c.Heard("b", wall-10*skew, wall))
	after := c.Now(wall)
	require.Negative(t, after.Compare(before), "the clock starts again from the limit")
	require.Equal(t, wall-9*skew, after.Nanos)
	for i := range int64(5) {
		require.False(t, c.Heard("b", wall-10*skew+i, wall+i))
	}
	_, clamps := c.Limit(wall)
	require.EqualValues(t, 1, clamps)

	// It is put right, and goes wrong again.
	require.False(t, c.Heard("b", wall, wall))
	require.Zero(t, c.Stats().Ahead)
	require.Equal(t, wall, c.Now(wall).Nanos)
	require.True(t, c.Heard("b", wall-10*skew, wall))
	_, clamps = c.Limit(wall)
	require.EqualValues(t, 2, clamps)
}

func TestANodeThatIsGoneHasNoSay(t *testing.T) {
	c, wall := New(time.Second), int64(1e18)
	c.Heard("b", wall-10*skew, wall)
	require.NotZero(t, c.Stats().Ahead)
	c.Forget("b")
	c.Heard("d", wall, wall)
	require.Zero(t, c.Stats().Ahead)
}

// While a clock is held back, what others say is measured from where it is held.
func TestAClockThatIsHeldBackIsNotCarriedAway(t *testing.T) {
	c, wall := New(time.Second), int64(1e18)
	c.Heard("b", wall-10*skew, wall)
	require.False(t, c.Observe(Timestamp{Nanos: wall}, wall), "that is as far ahead of the others as we were")
	require.True(t, c.Observe(Timestamp{Nanos: wall - 8*skew}, wall))
}

// With a majority of clocks near each other, every node's readings stay within what is tolerated of the newest good one.
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
			for j := range offsets {
				if i != j {
					c.Heard(strconv.Itoa(j), int64(1e18)+offsets[j], wall)
				}
			}
			require.LessOrEqual(r, c.Now(wall).Nanos, int64(1e18)+newest+skew)
			if i <= n/2 {
				require.Equal(r, wall, c.Now(wall+1).Nanos-1, "a good clock is never held back")
			}
		}
	})
}
