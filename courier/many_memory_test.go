package courier_test

import (
	"context"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

// The values of a batch are garbage when it is over, even if its context is kept.
func TestNothingKeepsTheValuesOfABatch(t *testing.T) {
	type big [1 << 16]byte
	c := courier.New[int, *big](courier.WithTimeout(time.Hour))
	var kept []context.Context
	var seen []weak.Pointer[big]
	for range 10 {
		load := func(ctx context.Context, _ []int) ([]courier.Outcome[*big], error) {
			kept = append(kept, ctx)
			return []courier.Outcome[*big]{{Value: new(big)}, {Value: new(big)}}, nil
		}
		got := c.DoMany(t.Context(), []int{1, 2, 1}, load)
		seen = append(seen, weak.Make(got[0].Value), weak.Make(got[1].Value))
	}
	left := func() (n int) {
		for _, p := range seen {
			if p.Value() != nil {
				n++
			}
		}
		return n
	}
	for i := 0; i < 100 && left() > 0; i++ {
		runtime.GC()
	}
	assert.Zero(t, left())
	runtime.KeepAlive(c)
	runtime.KeepAlive(kept)
}

// A batch allocates slices for its keys, and does not allocate for each key.
func TestAllocationsOfDoMany(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	c := courier.New[string, int]()
	for _, n := range []int{1, 100, 10_000} {
		keys := keysNamed(n)
		answer := make(outcomes, n)
		//nolint:unparam // as the type of such functions wants
		fetch := func(context.Context, []string) (outcomes, error) { return answer, nil }
		c.DoMany(t.Context(), keys, fetch) // the shards' tables grow
		assert.LessOrEqual(t, testing.AllocsPerRun(10, func() { c.DoMany(t.Context(), keys, fetch) }),
			100.0, "%d keys", n)
	}
}
