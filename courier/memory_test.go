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

// A flight that has ended is garbage: no timer, map or goroutine keeps it or its value.
func TestNothingKeepsAFlight(t *testing.T) {
	type big [1 << 16]byte
	c := courier.New[string, *big](courier.WithTimeout(time.Hour), courier.WithMaxConcurrent(2))
	var seen []weak.Pointer[big]
	for range 10 {
		v, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (*big, error) {
			courier.Go(ctx, func(context.Context) error { return nil })
			return new(big), nil
		})
		assert.NoError(t, err)
		seen = append(seen, weak.Make(v))
		c.Forget("key")
	}
	kept := func() (n int) {
		for _, p := range seen {
			if p.Value() != nil {
				n++
			}
		}
		return n
	}
	for i := 0; i < 100 && kept() > 0; i++ {
		runtime.GC()
	}
	assert.Zero(t, kept())
	runtime.KeepAlive(c)
}
