package deletes

import (
	"cmp"
	"slices"
)

// A span is the numbers from first to last.
type span struct{ first, last uint64 }

// spans are sorted, and there is at least one number between any two.
type spans []span

// find returns the index of the first span that ends at seq or later.
func (s spans) find(seq uint64) int {
	i, _ := slices.BinarySearchFunc(s, seq, func(x span, seq uint64) int { return cmp.Compare(x.last, seq) })
	return i
}

func (s spans) contains(seq uint64) bool {
	i := s.find(seq)
	return i < len(s) && s[i].first <= seq
}

// add returns s with the numbers from first to last, which are not 0.
func (s spans) add(first, last uint64) spans {
	i := s.find(first - 1) // the first that overlaps or touches
	j := i
	for ; j < len(s) && s[j].first <= last+1; j++ {
		first, last = min(first, s[j].first), max(last, s[j].last)
	}
	return slices.Replace(s, i, j, span{first, last})
}

// absorb returns up to where all numbers are there if those up to upTo are, and the spans beyond.
func (s spans) absorb(upTo uint64) (uint64, spans) {
	n := 0
	for n < len(s) && s[n].first <= upTo+1 {
		upTo = max(upTo, s[n].last)
		n++
	}
	if n == len(s) {
		return upTo, nil
	}
	return upTo, slices.Delete(s, 0, n)
}
