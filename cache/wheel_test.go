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

// A wheel gives out what has expired, all of it and nothing else, however far
// and in whatever steps the time goes on.
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
				e := timedAt(later(now, time.Duration(1+rapid.SampledFrom([]int64{0, 1 << 20, 1 << 33, 1 << 40}).Draw(t, "ttl")+span.Draw(t, "more"))))
				w.add(e)
				in[e] = true
				order = append(order, e)
			case op < 7 && len(order) > 0:
				if e := order[rapid.IntRange(0, len(order)-1).Draw(t, "which")]; in[e] {
					w.remove(e)
					delete(in, e)
				}
			default:
				step := span.Draw(t, "step")
				if step > 1<<36 && w.n > len(w.due) && w.levels[0] != nil {
					step = 1 << 30 // the sweep does not let it sleep for long
				}
				now = later(now, time.Duration(step))
				if e := w.expired(now); e != nil && (!in[e] || e.expiry() > now) {
					t.Fatal("what it gives out has not expired")
				}
				w.advance(now)
				for _, e := range slices.Clone(w.due) {
					if e.expiry() <= now {
						w.remove(e)
						delete(in, e)
					}
				}
				for e := range in {
					if e.expiry() <= now {
						t.Fatalf("at %d, what expired at %d is not due", now, e.expiry())
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

// A wheel gives room back.
func TestWheelRoom(t *testing.T) {
	var w wheel[int, int]
	var all []*entry[int, int]
	for i := range 100_000 {
		e := timedAt(1<<40 + int64(i))
		w.add(e)
		all = append(all, e)
	}
	require.GreaterOrEqual(t, w.size(), len(all))
	for _, e := range all[100:] {
		w.remove(e)
	}
	require.Less(t, w.size(), 2*tablesKept)
	require.NoError(t, w.audit())
}
