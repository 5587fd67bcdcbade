package cache

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func timedAt(expires int64) *entry[int, int] {
	e := &timedEntry[int, int]{expires: expires}
	e.Hash = timed
	return &e.entry
}

// A wheel yields exactly the entries that have expired, however far and in whatever steps the time
// advances.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel[int, int]
		in := map[*entry[int, int]]bool{}
		var order []*entry[int, int]
		now := int64(0)
		span := rapid.Custom(func(t *rapid.T) int64 {
			return rapid.Int64Range(0, 1<<rapid.IntRange(1, 58).Draw(t, "bits")).Draw(t, "span")
		})
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
			case op < 6:
				e := timedAt(addTime(now, time.Duration(
					1+rapid.SampledFrom([]int64{0, 1 << 20, 1 << 33, 1 << 40}).Draw(t, "ttl")+span.Draw(t,
						"more"))))
				w.add(e)
				in[e] = true
				order = append(order, e)
			case op < 7 && len(order) > 0:
				if e := order[rapid.IntRange(0, len(order)-1).Draw(t, "which")]; in[e] {
					w.remove(e)
					delete(in, e)
				}
			default:
				now = addTime(now, time.Duration(span.Draw(t, "step")))
				if e := w.expired(now); e != nil && (!in[e] || e.expiry() > now) {
					t.Fatal("an entry that is due has not expired")
				}
				if moves := rapid.IntRange(0, 10).Draw(t, "moves"); w.advance(now, moves) {
					break // the rest some other time
				}
				for _, e := range slices.Clone(w.due) {
					if e.expiry() <= now {
						w.remove(e)
						delete(in, e)
					}
				}
				for e := range in {
					if e.expiry() <= now {
						t.Fatalf("at %d, an entry that expired at %d is not due", now, e.expiry())
					}
				}
			}
			if err := w.audit(); err != nil {
				t.Fatal(err)
			}
			if w.n != len(in) {
				t.Fatalf("%d entries, want %d", w.n, len(in))
			}
		}
		for e := range maps.Keys(in) {
			w.remove(e)
		}
		if w.n != 0 {
			t.Fatal("not empty")
		}
	})
}

// A wheel releases memory.
func TestWheelRoom(t *testing.T) {
	var w wheel[int, int]
	var all []*entry[int, int]
	for i := range 100_000 {
		e := timedAt(1<<40 + int64(i))
		w.add(e)
		all = append(all, e)
	}
	require.GreaterOrEqual(t, w.room(), len(all))
	for _, e := range all[100:] {
		w.remove(e)
	}
	require.Less(t, w.room(), 2*minShrinkSize)
	require.NoError(t, w.audit())
}

// The wheel advances over time in which nothing expires in one step, and moves entries that expire
// at the same time a few at a time.
func TestWheelMoves(t *testing.T) {
	var w wheel[int, int]
	const n = 1000
	far := int64(1) << 58
	short := timedAt(1 << 21)
	w.add(short) // so that there is a lowest level
	w.remove(short)
	for range n {
		w.add(timedAt(far + 5<<tickBits))
	}
	require.False(t, w.advance(far-1, 10), "nothing to move yet")
	require.Equal(t, (far-1)>>tickBits, w.tick)

	calls := 0
	for w.advance(far+5<<tickBits, 10) {
		calls++
		require.NoError(t, w.audit())
		require.Less(t, calls, 10*n)
	}
	require.Len(t, w.due, n)
	// From the highest level to one of the lowest, and from there to due.
	require.InDelta(t, 2*n/10, calls, 2)
}

// An entry has a bucket however far the time has advanced, on 32 bits as well.
func TestWheelAtAnyTime(t *testing.T) {
	for bit := tickBits; bit < 63; bit++ {
		w := wheel[int, int]{tick: 1 << (bit - tickBits)}
		for level := range 3 {
			w.add(timedAt(addTime(1<<bit, 2<<(tickBits+level*slotBits))))
		}
		require.NoError(t, w.audit())
	}
}
