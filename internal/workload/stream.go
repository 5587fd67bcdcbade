package workload

import (
	"math/bits"
	"math/rand/v2"
)

// Stream returns a generator that the seed and a path determine, such as a worker's number and a
// purpose. Streams with different paths are independent. The generator is not safe for concurrent
// use.
func Stream(seed uint64, path ...uint64) *rand.Rand {
	a, b := derive(seed, path...)
	return rand.New(rand.NewPCG(a, b))
}

// Hash returns a single 64-bit number that the seed and a path determine.
func Hash(seed uint64, path ...uint64) uint64 {
	a, _ := derive(seed, path...)
	return a
}

func derive(seed uint64, path ...uint64) (a, b uint64) {
	a = mix(seed + golden)
	for _, p := range path {
		// The rotation makes the order count: without it, seed 1 with path 2 would equal seed 2
		// with path 1.
		a = mix(bits.RotateLeft64(a, 23) ^ mix(p+golden))
	}
	return a, mix(a + golden)
}

// golden is 2^64 divided by the golden ratio: the step of splitmix64.
const golden = 0x9e3779b97f4a7c15

// mix is the finaliser of splitmix64: a bijection in which every bit of the
// input reaches every bit of the output.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
