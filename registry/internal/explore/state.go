package explore

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// A state is the whole world at a moment. It is copied by value; flying is never changed in place.
type state struct {
	node [3]uint32 // numbers of steps; that of a dead node is 0
	run  [3]uint8
	// view[i][j]: the run in which i believes j to be up, from 1; 0 if it believes it down
	view   [3][3]uint8
	left   uint8 // bits of the nodes that left in good order
	cut    Cut
	budget [budgeted]uint8
	made   uint8 // registrations so far
	// by name: the number of the best claim that ended, not by a conflict; 0: none
	ended  [2]uint8
	flying []flight // sorted
}

// A flight is a message under way.
type flight struct {
	from, to uint8
	msg      uint32
}

func (f flight) compare(g flight) int {
	return cmp.Or(cmp.Compare(f.from, g.from), cmp.Compare(f.to, g.to), cmp.Compare(f.msg, g.msg))
}

func (s *state) alive(i int) bool { return s.node[i] != 0 }

// real returns i's correct view of j.
func (s *state) real(i, j int) uint8 {
	if !s.alive(j) || s.cut&link(i, j) != 0 {
		return 0
	}
	return s.run[j] + 1
}

func (s *state) without(i int) []flight {
	return slices.Delete(slices.Clone(s.flying), i, i+1)
}

func (s *state) append(b []byte) []byte {
	for i := range s.node {
		b = binary.LittleEndian.AppendUint32(b, s.node[i])
		b = append(b, s.run[i])
		b = append(b, s.view[i][:]...)
	}
	b = append(b, s.left, byte(s.cut))
	b = append(b, s.budget[:]...)
	b = append(b, s.made, s.ended[0], s.ended[1])
	for _, f := range s.flying {
		b = append(b, f.from, f.to)
		b = binary.LittleEndian.AppendUint32(b, f.msg)
	}
	return b
}

// parse is the inverse of append.
func (s *state) parse(b []byte) {
	for i := range s.node {
		s.node[i] = binary.LittleEndian.Uint32(b)
		s.run[i] = b[4]
		copy(s.view[i][:], b[5:])
		b = b[8:]
	}
	s.left, s.cut = b[0], Cut(b[1])
	b = b[2+copy(s.budget[:], b[2:]):]
	s.made, s.ended[0], s.ended[1] = b[0], b[1], b[2]
	s.flying = nil
	if b = b[3:]; len(b) > 0 {
		s.flying = make([]flight, 0, len(b)/6)
	}
	for ; len(b) > 0; b = b[6:] {
		s.flying = append(s.flying, flight{b[0], b[1], binary.LittleEndian.Uint32(b[2:])})
	}
}

// A fingerprint is the hash of a state, for the set of visited states. Of ten million states two
// share one with a probability of about 3 in a million.
type fingerprint uint64

func fingerprintOf(b []byte) fingerprint { return fingerprint(xxhash.Sum64(b)) }
