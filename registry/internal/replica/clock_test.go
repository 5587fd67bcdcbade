package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// isAhead passes the clock messages of "b", whose clock shows theirs, for longer than probation.
func (o *observer) isAhead(theirs int64) bool {
	for _, ago := range []int64{6e9, 3e9} {
		o.cfg.Clock.Heard("b", theirs-ago, o.at.Wall-ago)
	}
	return o.cfg.Clock.Heard("b", theirs, o.at.Wall)
}

// Another node sees a claim with an older timestamp and the same holder.
func TestAClaimThatIsStampedAgainIsNotReleased(t *testing.T) {
	o := observe(t, Config{}, "b")
	ahead := claim("x", 1)
	ahead.Time.Nanos += int64(500 * time.Millisecond)
	o.hear("b", update(0, 1, ahead))
	again := claim("x", 2)
	out := o.hear("b", update(1, 2, again))
	require.Equal(t, []Event{{Type: Updated, Name: "x", Record: again, Other: ahead}}, out.Events)
	// A claim with a newer timestamp has another holder.
	out = o.hear("b", update(2, 4, claim("x", 4)))
	require.Equal(t, []EventType{Unregistered, Registered}, types(out.Events))
	require.Equal(t, WhyReleased, out.Events[0].Why)
}

// A node whose clock is found to be a day ahead gives its claims new timestamps, so that it does
// not win for a day.
func TestClaimsOfAClockThatIsAheadAreStampedAgain(t *testing.T) {
	o := observe(t, Config{}, "b")
	right := o.at.Wall
	o.at.Wall += int64(24 * time.Hour)
	fill(o.Partition, o.at, 3)
	o.at.Wall = right
	before, _ := o.Register(o.at, "late", nil) // the clock still counts on from the day ahead
	require.Greater(t, before.Time.Nanos, right)
	o.at.Wall += int64(24 * time.Hour)
	o.Take()
	require.True(t, o.isAhead(right))
	out := o.pass(0)
	require.Equal(t, 1, count(out.Events, ClockAhead))
	require.Equal(t, 4, count(out.Events, Updated), "no claim was released")
	require.Len(t, out.Events, 5)
	require.Equal(t, 4, o.Len())
	o.OwnNames(func(r *Record) bool {
		require.LessOrEqual(t, r.Time.Nanos, right+int64(time.Second), "of the skew that is tolerated")
		return true
	})
	require.Empty(t, out.Lost)
	require.Empty(t, types(o.pass(0).Events), "once")
}

func TestAClaimThatWasAheadLosesOnceItIsStampedAgain(t *testing.T) {
	o := observe(t, Config{}, "b")
	right := o.at.Wall
	o.at.Wall += int64(time.Hour)
	o.Register(o.at, "x", nil)
	theirs := claim("x", 1)
	theirs.Time.Nanos = right + int64(30*time.Minute)
	o.hear("b", update(0, 1, theirs))
	require.NotNil(t, o.Own("x"), "so far ours is newer")
	require.True(t, o.isAhead(right))
	out := o.pass(0)
	require.Len(t, out.Lost, 1)
	require.Equal(t, "b", o.Lookup("x").Node)
}

// A claim of a node that has seen an earlier claim is newer than that, even if the wall clock is
// behind.
func TestAClaimIsNewerThanAllThatWereSeen(t *testing.T) {
	o := observe(t, Config{}, "b")
	theirs := claim("x", 1)
	theirs.Time.Nanos = o.at.Wall + int64(500*time.Millisecond)
	o.hear("b", update(0, 1, theirs))
	o.hear("b", update(1, 2, tombstone("x", 2)))
	own, _ := o.Register(o.at, "x", nil)
	require.Positive(t, own.Time.Compare(theirs.Time))
}
