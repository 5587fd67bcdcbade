package evict

// A sketch estimates how often hashes were added lately: a count-min sketch of
// 4-bit counters (Cormode and Muthukrishnan 2005) that are halved now and then,
// as TinyLFU has it (Einziger, Friedman and Manes 2017). The four counters of a
// hash are in one cache line. Only the lowest of the four are raised, so that the
// many keys that are asked for once do not raise each other's (conservative
// update: Estan and Varghese 2002).
type sketch struct {
	words []uint64 // a multiple of lineWords, a power of two
	added int      // since the counters were halved
	limit int      // of added
}

const (
	lineWords   = 8
	rows        = 4
	counterMax  = 15
	sampleTimes = 10 // counters are halved after so many additions per node
)

// fit makes room for n nodes. Estimates are kept.
func (s *sketch) grow(n int) {
	if n <= len(s.words) && s.words != nil {
		return
	}
	size := max(lineWords, 2*len(s.words))
	for n > size {
		size *= 2
	}
	words := make([]uint64, size)
	for at := range words {
		if len(s.words) > 0 {
			// The lines of a hash are found by its low bits: in a table of twice
			// the size it is the same line or its copy.
			words[at] = s.words[at&(len(s.words)-1)]
		}
	}
	s.words = words
	s.limit = sampleTimes * size
}

// spread makes all bits of h depend on all others.
func mix(h uint32) uint64 {
	x := uint64(h>>HashReserved) * 0x9e3779b97f4a7c15
	return x ^ x>>32
}

// counter is the word and the shift of the counter of x in a row.
func (s *sketch) counter(x uint64, row int) (word *uint64, shift uint) {
	line := int(x) & (len(s.words)/lineWords - 1) * lineWords //nolint:gosec // masked
	bits := x >> (32 + 8*row)
	return &s.words[line+2*row+int(bits&1)], uint(bits>>1&15) * 4
}

// add counts n additions of h.
func (s *sketch) add(h, n uint32) {
	x := mix(h)
	least := min(s.lowest(x)+uint64(n), counterMax)
	for row := range rows {
		word, shift := s.counter(x, row)
		if c := *word >> shift & counterMax; c < least {
			*word += (least - c) << shift
		}
	}
	if s.added += int(n); s.added >= s.limit {
		s.halve()
	}
}

// count estimates how often h was added.
func (s *sketch) count(h uint32) uint32 { return uint32(s.lowest(mix(h))) } //nolint:gosec // small

// least is the lowest of the counters of x.
func (s *sketch) lowest(x uint64) uint64 {
	least := uint64(counterMax)
	for row := range rows {
		word, shift := s.counter(x, row)
		least = min(least, *word>>shift&counterMax)
	}
	return least
}

func (s *sketch) halve() {
	for at := range s.words {
		s.words[at] = s.words[at] >> 1 & 0x7777_7777_7777_7777
	}
	s.added /= 2
}
