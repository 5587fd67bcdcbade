package workload

import "math/bits"

// A permutation is a pseudo-random bijection of 0..n-1. It is a Feistel network over the next even
// number of bits, applied again while the result is out of range. It needs no memory per key and
// can be inverted.
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
		// The network's range is less than four times n, so the loop takes under four steps on
		// average. It ends, because the network is a bijection: the cycle leads back to the start,
		// which is in range.
		if x = left<<p.half | right; x < p.n {
			return x
		}
	}
}
