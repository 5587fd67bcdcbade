package evict

// A sketch estimates how often hashes were added recently. It is a count-min sketch of
// 4-bit counters (Cormode and Muthukrishnan 2005) that are halved periodically, as in
// TinyLFU (Einziger, Friedman and Manes 2017). The four counters of a hash are in one cache
// line. Only the lowest of them are raised (conservative update: Estan and Varghese 2002),
// so that the many keys that are asked for once do not raise each other's counters.
type sketch struct {
	words []uint64 // their number is a power of two and a multiple of lineWords
	added int      // the additions that the counters hold
	limit int      // the number of additions at which they are halved
}

const (
	lineWords   = 8
	rows        = 4
	counterMax  = 15
	sampleTimes = 10 // additions per node after which the counters are halved
)

// grow makes room for n nodes. It keeps the estimates.
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
			// The low bits of a hash select its line: in a table of twice the size,
			// they select the same line or its copy.
			words[at] = s.words[at&(len(s.words)-1)]
		}
	}
	s.words = words
	s.limit = sampleTimes * size
}

// mix makes all bits of the result depend on all bits of h's hash.
func mix(h uint32) uint64 {
	x := uint64(h>>HashReserved) * 0x9e3779b97f4a7c15
	return x ^ x>>32
}

// counter returns the word of x's counter in row, and the counter's shift in the word.
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

// count returns the estimate of how often h was added.
func (s *sketch) count(h uint32) uint32 { return uint32(s.lowest(mix(h))) } //nolint:gosec // small

// lowest returns the lowest counter of x.
func (s *sketch) lowest(x uint64) uint64 {
	least := uint64(counterMax)
	for row := range rows {
		word, shift := s.counter(x, row)
		least = min(least, *word>>shift&counterMax)
	}
	return least
}

// halve halves all counters, so that old additions count less.
func (s *sketch) halve() {
	for at := range s.words {
		s.words[at] = s.words[at] >> 1 & 0x7777_7777_7777_7777
	}
	s.added /= 2
}
