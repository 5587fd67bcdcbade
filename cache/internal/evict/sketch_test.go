package evict

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Estimates are never too low while nothing is halved, seldom too high, and
// survive growth.
func TestSketch(t *testing.T) {
	var s sketch
	r := rand.New(rand.NewPCG(3, 4))
	const n = 1000
	want := make([]uint32, n)
	//nolint:gosec // wraps
	hash := func(i int) uint32 { return uint32(i) * 2654435761 << HashReserved }
	s.grow(n)
	s.limit = 1 << 30
	for range 4 * n {
		k := r.IntN(n)
		times := 1 + r.Uint32N(2)
		s.add(hash(k), times)
		want[k] = min(want[k]+times, counterMax)
	}
	wrong := 0
	for k := range want {
		got := s.count(hash(k))
		require.GreaterOrEqual(t, got, want[k])
		if got > want[k] {
			wrong++
		}
	}
	require.Less(t, wrong, n/3)
	require.Zero(t, len(s.words)%lineWords)

	// Growth of a sketch that is in use changes no estimate.
	before := make([]uint32, n)
	for k := range before {
		before[k] = s.count(hash(k))
	}
	s.grow(10 * n)
	for k := range before {
		require.Equal(t, before[k], s.count(hash(k)))
	}
}

// Keys that are asked for once do not make each other look popular, though there
// are many more of them than nodes.
func TestSketchOfManyKeys(t *testing.T) {
	var s sketch
	const n = 1024
	s.grow(n)
	s.limit = 1 << 30
	total := uint32(0)
	for i := range uint32(8 * n) {
		s.add(i<<HashReserved, 1)
	}
	for i := range uint32(8 * n) {
		total += s.count(i << HashReserved)
	}
	require.Less(t, float64(total)/(8*n), 1.4, "the mean estimate for keys that were added once")
}

// Counters are halved after ten additions per node.
func TestSketchForgets(t *testing.T) {
	var s sketch
	s.grow(lineWords)
	for range sampleTimes*lineWords - 1 {
		s.add(4, 1)
	}
	require.Equal(t, uint32(counterMax), s.count(4))
	s.add(4, 1)
	require.Equal(t, uint32(counterMax/2), s.count(4))
	require.Equal(t, sampleTimes*lineWords/2, s.added)
}
