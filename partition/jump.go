package partition

// jump is the jump consistent hash of Lamping and Veach (2014), as published:
// it reduces hash to 0..n-1.
//
// The floating-point step gives the same result everywhere. Its conversions are
// exact, and IEEE 754 fixes the rounding of the one division and the one
// multiplication. No addition follows them, so there is nothing that a compiler
// may fuse. An exact integer division would differ from the published
// function on rare hashes, and from its implementations in other languages.
func jump(hash uint64, n int) int {
	var b, j int64 = 0, 0
	for j < int64(n) {
		b = j
		hash = hash*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(1<<31) / float64(hash>>33+1)))
	}
	return int(b)
}
