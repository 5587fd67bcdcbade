package deletes

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A number beyond a gap does not stand for those in the gap.
func TestFloorOverGap(t *testing.T) {
	n := newNode(t, 9, nil)
	require.NoError(t, n.Require("b", appendItem(nil, afterKey, ID{1, 2})))
	require.NoError(t, n.Require("x", appendItem(nil, afterFloor, ID{1, 2})))
	require.Equal(t, 1, n.resets)
	require.NoError(t, n.Require("b", appendItem(nil, afterKey, ID{2, 2})))
	require.NoError(t, n.Require("x", appendItem(nil, afterClear, ID{2, 2})))
	require.Len(t, n.applied, 3)
}

// A complete chapter also tells of those beyond a gap that a later one stands for.
func TestCompleteOverGap(t *testing.T) {
	from, to := newNode(t, 1, nil), newNode(t, 2, nil)
	for _, seq := range []uint64{5, 7} {
		require.NoError(t, from.Require("a", appendItem(nil, afterKey, ID{3, seq})))
	}
	tell(t, from, to, 1<<20)
	require.Equal(t, spans{{5, 5}, {7, 7}}, to.Vector().of(3).ahead)
	require.Len(t, to.applied, 1)
}

// What has expired is not told, also where it arrived after what has not.
func TestExpiredLate(t *testing.T) {
	retain := func(o *Options) { o.Retain = time.Minute }
	a, b, c := newNode(t, 1, retain), newNode(t, 2, retain), newNode(t, 3, retain)
	a.Delete("old")
	a.now += 50 * time.Second
	b.Delete("young")
	tell(t, a, b, 1<<20)
	b.now += 15 * time.Second
	tell(t, b, c, 1<<20)
	require.Equal(t, []Entry{{ID: ID{2, 1}, Key: "young"}}, c.applied)
	require.True(t, c.Vector().Covers(ID{1, 1}))
}

// Nobody is told of runs for which a clear stands, and those who tell of them are content.
func TestRetired(t *testing.T) {
	n, peer := newNode(t, 1, nil), newNode(t, 2, nil)
	n.maxRuns = 3
	for i := range 5 {
		o := newNode(t, uint64(100+i), nil)
		o.Delete("a")
		tell(t, o, peer, 1<<20)
		n.now += time.Second
		peer.now += time.Second
		if i != 1 { // the peer tells of this one when it is too late
			tell(t, o, n, 1<<20)
		}
	}
	require.Equal(t, 2, len(n.applied)-3, "the clear has been made: %v", n.applied)
	n.now += time.Second
	peer.now += time.Second
	applied := len(n.applied)
	data, more := peer.Message(Vector{}, 0)
	require.True(t, more, "that one is left out")
	_, err := n.Merge(data)
	require.NoError(t, err)
	require.True(t, n.Vector().Covers(ID{101, 1}))
	tell(t, peer, n, 1<<20)
	require.Len(t, n.applied, applied, "nothing is applied that the clear stands for")
	require.Equal(t, []bool{false, true, true, true, true, false}, idles(n.Vector()),
		"all but its own, and the one that may have made more when the clear was made")

	newcomer := newNode(t, 7, nil)
	tell(t, n, newcomer, 1<<20)
	require.Equal(t, 2, newcomer.Stats().Runs)
}

func idles(v Vector) (idle []bool) {
	for _, p := range v.runs {
		idle = append(idle, p.idle)
	}
	return idle
}

// A clear stands for nothing before it is applied.
func TestRetiredWhenCleared(t *testing.T) {
	n, peer := newNode(t, 1, nil), newNode(t, 2, nil)
	n.maxRuns = 1
	require.NoError(t, peer.Require("late", appendItem(nil, afterKey, ID{300, 1})))
	peer.now += time.Minute
	data, _ := peer.Message(Vector{}, 1<<20)
	cleared := false
	n.during = func(es []Entry) {
		if es[0].All {
			cleared = true
			_, err := n.Merge(data)
			assert.NoError(t, err)
		}
	}
	for run := uint64(100); run < 102; run++ {
		require.NoError(t, n.Require("a", appendItem(nil, afterKey, ID{run, 1})))
	}
	require.True(t, cleared)
	require.True(t, slices.ContainsFunc(n.applied, func(e Entry) bool { return e.Key == "late" }))
}

// Reset may delete while it makes room for spans.
func TestDeleteInReset(t *testing.T) {
	n := newNode(t, 9, nil)
	n.maxSpans = 1
	n.during = func(es []Entry) {
		if es == nil {
			n.Delete("x")
		}
	}
	for _, seq := range []uint64{5, 9} {
		require.NoError(t, n.Require("a", appendItem(nil, afterKey, ID{3, seq})))
	}
	require.Equal(t, 1, n.resets)
	require.Equal(t, uint64(9), n.Vector().of(3).applied)
}
