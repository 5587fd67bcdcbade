package deletes

import (
	"cmp"
	"slices"
)

// A Vector says which deletes were applied on a node. The zero Vector has none. It is not changed once made, so it
// may be used by several goroutines.
type Vector struct {
	run  uint64 // whose it is; 0: nobody's
	runs []progress
}

// progress is how far a node is with the deletes of a run.
type progress struct {
	run     uint64
	applied uint64 // all up to this one
	ahead   spans  // and these
	idle    bool   // nothing of this run matters any more
}

func (p progress) covers(seq uint64) bool { return seq <= p.applied || p.ahead.contains(seq) }

func (p progress) coversAll(q progress) bool {
	if q.applied > 0 && !p.coversSpan(span{1, q.applied}) {
		return false
	}
	for _, s := range q.ahead {
		if !p.coversSpan(s) {
			return false
		}
	}
	return true
}

func (p progress) coversSpan(s span) bool {
	if s.last <= p.applied {
		return true
	}
	first := max(s.first, p.applied+1)
	i := p.ahead.find(first)
	return i < len(p.ahead) && p.ahead[i].first <= first && p.ahead[i].last >= s.last
}

// of returns the progress with a run.
func (v Vector) of(run uint64) progress {
	i, ok := slices.BinarySearchFunc(v.runs, run, func(p progress, run uint64) int { return cmp.Compare(p.run, run) })
	if !ok {
		return progress{run: run}
	}
	return v.runs[i]
}

// Covers reports whether the delete was applied.
func (v Vector) Covers(id ID) bool { return v.of(id.Run).covers(id.Seq) }

// CoversAll reports whether all that was applied for w was applied for v. What does not matter any more, since it
// is older than Options.Retain, is not asked for.
func (v Vector) CoversAll(w Vector) bool {
	for _, q := range w.runs {
		if !q.idle && !v.of(q.run).coversAll(q) {
			return false
		}
	}
	return true
}
