package workload

import "math/bits"

// A permutation is a bijection of 0..n-1 that looks random. It is a Feistel
// network over the next even number of bits, walked again where it leaves the
// range, so it needs no memory per key and can be run backwards.
type permutation struct {
	n    uint64
	half uint // bits of one half
	mask uint64
	keys [4]uint64
}

func newPermutation(n, seed uint64) *permutation {
	half := uint(max(bits.Len64(n-1)+1, 2) / 2)
	p := &permutation{n: n, half: half, mask: 1<<half - 1}
	for i := range p.keys {
		p.keys[i] = Hash(seed, uint64(i))
	}
	return p
}

func (p *permutation) of(x uint64) uint64 {
	for {
		left, right := x>>p.half, x&p.mask
		for _, k := range p.keys {
			left, right = right, left^(mix(right+k)&p.mask)
		}
		// The network's own range is less than four times n, so the walk takes
		// under four steps on average. It does end: the network is a bijection,
		// so it comes back to where it started, which is in range.
		if x = left<<p.half | right; x < p.n {
			return x
		}
	}
}
