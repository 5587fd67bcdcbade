package deletes

import (
	"cmp"
	"slices"
	"time"
)

// A run is what a Log knows of the deletes of one run. Log.mu guards it.
type run struct {
	id      uint64
	applied uint64        // all up to this one are applied
	ahead   spans         // and these
	last    time.Duration // when the newest delete that is known was made, at the latest
	pending int           // being applied

	// What stands for the deletes that are applied: those up to floor have been dropped for want of room, and
	// who has not applied them must reset; clear is the latest clear, if it is later than floor; records are those of
	// keys that are later than both.
	floor   uint64
	floorAt time.Duration
	clear   *record
	records []*record // by Seq; some may be gone
	kept    int       // of them that are not gone
}

// A record is an entry that is kept.
type record struct {
	Entry
	at         time.Duration // when it was made, at the latest
	gone       bool
	prev, next *record // by arrival
}

func (r *run) covers(seq uint64) bool { return seq <= r.applied || r.ahead.contains(seq) }

// mark notes that the deletes from first to last are applied.
func (r *run) mark(first, last uint64) {
	switch {
	case last <= r.applied:
	case first <= r.applied+1:
		r.raise(last)
	default:
		r.ahead = r.ahead.add(first, last)
	}
}

// raise notes that all deletes up to seq are applied.
func (r *run) raise(seq uint64) { r.applied, r.ahead = r.ahead.absorb(max(seq, r.applied)) }

// stood returns up to where a clear or the floor stands for the deletes.
func (r *run) stood() uint64 {
	if r.clear != nil {
		return max(r.floor, r.clear.ID.Seq)
	}
	return r.floor
}

// empty reports whether nothing is kept.
func (r *run) empty() bool { return r.kept == 0 && r.clear == nil && r.floor == 0 }

// insert puts x where it belongs.
func (r *run) insert(x *record) {
	i := r.later(x.ID.Seq - 1)
	r.records = slices.Insert(r.records, i, x)
	r.kept++
}

// later returns the index of the first record later than seq.
func (r *run) later(seq uint64) int {
	if n := len(r.records); n == 0 || r.records[n-1].ID.Seq <= seq {
		return n
	}
	i, _ := slices.BinarySearchFunc(r.records, seq+1, func(x *record, seq uint64) int {
		return cmp.Compare(x.ID.Seq, seq)
	})
	return i
}

// remove takes x out, at a cost that does not depend on how many there are.
func (r *run) remove(x *record) {
	x.gone = true
	r.kept--
	if gone := len(r.records) - r.kept; gone > 32 && gone > r.kept || r.kept == 0 {
		r.records = slices.DeleteFunc(r.records, func(x *record) bool { return x.gone })
	}
}

func (r *run) progress(idle bool) progress {
	return progress{r.id, r.applied, slices.Clone(r.ahead), idle}
}
