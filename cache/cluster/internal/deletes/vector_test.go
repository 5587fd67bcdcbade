package deletes

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawn is what a run has done in a model: numbers up to 30.
type drawn map[uint64]bool

func drawRun(t *rapid.T) (*run, drawn) {
	r, all := &run{id: 1}, make(drawn)
	for range rapid.IntRange(0, 12).Draw(t, "steps") {
		first := rapid.Uint64Range(1, 30).Draw(t, "first")
		last := min(30, first+rapid.Uint64Range(0, 3).Draw(t, "length"))
		if rapid.IntRange(0, 5).Draw(t, "raise") == 0 {
			r.raise(first)
			last, first = first, 1
		} else {
			r.mark(first, last)
		}
		for seq := first; seq <= last; seq++ {
			all[seq] = true
		}
	}
	return r, all
}

// What a run says it covers is what was noted, in as few spans as there can be; and vectors compare as sets do.
func TestSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, all := drawRun(t)
		s, some := drawRun(t)
		for seq := uint64(1); seq <= 32; seq++ {
			if r.covers(seq) != all[seq] {
				t.Fatalf("%d: %v, want %v in %d and %v", seq, r.covers(seq), all[seq], r.applied, r.ahead)
			}
			if got := (Vector{1, []progress{r.progress(false)}}).Covers(ID{1, seq}); got != all[seq] {
				t.Fatalf("%d: %v", seq, got)
			}
		}
		last := r.applied
		for _, x := range r.ahead {
			if x.first < last+2 || x.last < x.first {
				t.Fatalf("%d and %v", r.applied, r.ahead)
			}
			last = x.last
		}
		want := true
		for seq := range maps.Keys(some) {
			want = want && all[seq]
		}
		v, w := Vector{1, []progress{r.progress(false)}}, Vector{2, []progress{s.progress(false)}}
		if got := v.CoversAll(w); got != want {
			t.Fatalf("%+v covers %+v: %v", v, w, got)
		}
		w.runs[0].idle = true
		if !v.CoversAll(w) {
			t.Fatal("what is idle does not matter")
		}
	})
}

func TestVectorOfSeveralRuns(t *testing.T) {
	v := Vector{1, []progress{{run: 1, applied: 5}, {run: 4, applied: 2}}}
	w := Vector{2, []progress{{run: 2, applied: 1}}}
	require.True(t, v.Covers(ID{4, 2}))
	require.False(t, v.Covers(ID{4, 3}))
	require.False(t, v.Covers(ID{3, 1}))
	require.False(t, v.CoversAll(w))
	require.False(t, w.CoversAll(v))
	require.True(t, v.CoversAll(Vector{}))
	require.True(t, v.CoversAll(v))
	require.True(t, v.CoversAll(Vector{2, []progress{{run: 4, applied: 2}}}))
}

// A Vector stays what it is when the Log goes on.
func TestVectorIsACopy(t *testing.T) {
	n := newNode(t, 1, nil)
	for _, seq := range []uint64{3, 5, 9} {
		require.NoError(t, n.Require("a", appendItem(nil, afterKey, ID{2, seq})))
	}
	v := n.Vector()
	want := slices.Clone(v.of(2).ahead)
	for _, seq := range []uint64{4, 8, 1, 2} {
		require.NoError(t, n.Require("b", appendItem(nil, afterKey, ID{2, seq})))
	}
	require.Equal(t, want, v.of(2).ahead)
	require.False(t, v.Covers(ID{2, 4}))
}
