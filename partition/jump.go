package partition

// jump reduces hash to 0..n-1 by the jump consistent hash of Lamping and Veach
// (2014), as published.
//
// The floating-point step has the same result on every architecture. Its
// conversions are exact, and IEEE 754 fixes the rounding of the division and the
// multiplication. No addition follows them, so the compiler can fuse nothing. An
// exact integer division would differ from the published function, and so from
// other implementations, for a few hashes.
func jump(hash uint64, n int) int {
	var b, j int64 = 0, 0
	for j < int64(n) {
		b = j
		hash = hash*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(1<<31) / float64(hash>>33+1)))
	}
	return int(b)
}
