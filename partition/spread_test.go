package partition_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/partition"
)

// keysPerFamily is enough for the tests' bounds to mean something, and few enough
// for the race detector.
const keysPerFamily = 100_000

// families are kinds of key that programs use. Each makes its i-th key from i
// alone, so that every run of a test sees the same keys.
var families = map[string]func(i int) string{
	"sequential": func(i int) string { return "user:" + strconv.Itoa(i) },
	"long prefix": func(i int) string {
		return strings.Repeat("tenant/", 10) + strconv.Itoa(i)
	},
	"binary": func(i int) string {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(i))
		return string(b[:])
	},
	"random": func(i int) string {
		r := rand.New(rand.NewPCG(uint64(i), 20140611))
		return strconv.FormatUint(r.Uint64(), 16) + strconv.FormatUint(r.Uint64(), 16)
	},
}

func familyKeys(family func(i int) string) []string {
	keys := make([]string, keysPerFamily)
	for i := range keys {
		keys[i] = family(i)
	}
	return keys
}

// TestSpread is a chi-squared test of evenness. Were the partitions drawn by
// chance, the statistic would be about normal with mean n-1 and variance
// 2(n-1). The keys are fixed, so the outcome is too: the bound of 4 standard
// deviations leaves room for a new family of keys, not for luck. The lower bound
// catches a spread too even to be a hash's, such as a round-robin on the digits.
func TestSpread(t *testing.T) {
	for name, family := range families {
		keys := familyKeys(family)
		for _, n := range []int{2, 3, 16, 100, 1000, 4096} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				m := newMap(t, n)
				counts := make([]int, n)
				for _, key := range keys {
					counts[m.Of(key)]++
				}
				expected := float64(keysPerFamily) / float64(n)
				chi2 := 0.0
				for _, c := range counts {
					chi2 += (float64(c) - expected) * (float64(c) - expected) / expected
				}
				z := (chi2 - float64(n-1)) / math.Sqrt(2*float64(n-1))
				t.Logf("chi-squared %.1f over %d degrees of freedom, %+.2f standard deviations", chi2, n-1, z)
				assert.InDelta(t, 0, z, 4)
			})
		}
	}
}

// TestEveryPartitionIsReached would fail if a reduction lost bits that the
// largest map needs.
func TestEveryPartitionIsReached(t *testing.T) {
	m := newMap(t, partition.Max)
	reached := make([]bool, m.Len())
	left := m.Len()
	// Chance needs about n·ln n = 730,000 keys; twice as many are certain enough.
	for i := 0; i < 1_500_000 && left > 0; i++ {
		if p := m.Of("user:" + strconv.Itoa(i)); !reached[p] {
			reached[p] = true
			left--
		}
	}
	assert.Zero(t, left, "partitions that no key reached")
}

// TestMovement checks the purpose of the jump hash: from n to n+1 partitions
// a key stays or moves to the new partition, and one in n+1 moves.
func TestMovement(t *testing.T) {
	for name, family := range families {
		keys := familyKeys(family)
		for _, n := range []int{1, 2, 3, 7, 16, 100, 1000, 4095} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				before, after := newMap(t, n), newMap(t, n+1)
				moved := 0
				for _, key := range keys {
					p, q := before.Of(key), after.Of(key)
					if p == q {
						continue
					}
					if q != n {
						t.Fatalf("%q moved from partition %d to %d, not to the new one", key, p, q)
					}
					moved++
				}
				share := 1 / float64(n+1)
				deviation := math.Sqrt(keysPerFamily * share * (1 - share))
				t.Logf("%d of %d keys moved, %.0f expected", moved, len(keys), keysPerFamily*share)
				assert.InDelta(t, keysPerFamily*share, moved, 4*deviation)
			})
		}
	}
}
