package registrytest_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/registrytest"
)

// A printer stands in for the *testing.T of a test, and prints its failures.
type printer struct{ testing.TB }

func (printer) Helper()                      {}
func (printer) Logf(string, ...any)          {}
func (printer) Errorf(f string, args ...any) { fmt.Printf(f+"\n", args...) }

// The metadata are a priority in decimal digits. The rule treats priorities that differ by less
// than 10 as equal, which looks harmless and is not: a loses to b, b to c, and c to a.
func ExampleCheckResolver() {
	priority := func(c registry.Claim) int {
		n, _ := strconv.Atoi(string(c.Meta)) // anything else counts as 0
		return n
	}
	near := registry.NewResolver("near", func(a, b registry.Claim) int {
		if d := priority(a) - priority(b); d <= -10 || d >= 10 {
			return d
		}
		return 0
	})
	exact := registry.NewResolver("exact", func(a, b registry.Claim) int {
		return cmp.Compare(priority(a), priority(b))
	})
	digits := registrytest.WithMeta(func(rng *rand.Rand) []byte {
		return strconv.AppendInt(nil, 5*rng.Int64N(5), 10)
	})

	t := printer{} // in a test: its *testing.T
	registrytest.CheckResolver(t, exact, digits)
	registrytest.CheckResolver(t, near, digits, registrytest.WithSeed(1))
	// Output: registrytest: resolver "near" runs in a circle: b is kept rather than a, c is kept rather than b (by default), a is kept rather than c (by default)
	//     a: node "a", time 2026-01-01T12:00:00.000000001Z, metadata nil
	//     b: node "b", time 2026-01-01T12:00:00.000000000Z, metadata "10"
	//     c: node "c", time 2026-01-01T12:00:00.000000000Z, metadata "5"
	// Each of the three nodes sees a better claim than its own: all may give up the name.
	// Found in round 13 with registrytest.WithSeed(1).
}
