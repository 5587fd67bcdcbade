package courier

import (
	"context"

	"github.com/snowfence/snowfence/courier/internal/async"
)

func init() {
	async.Start = func(
		c any, key string, fetch func(context.Context) (any, error), done func(any, bool, error),
	) {
		//nolint:errcheck,forcetypeassert // else a bug of package singleflight
		c.(*Courier[string, any]).start(key, fetch, done)
	}
}

// start implements async.Start.
func (c *Courier[K, V]) start(
	key K, fetch func(context.Context) (V, error), done func(V, bool, error),
) {
	f, w, err := c.flightFor(context.Background(), key, fetch)
	if err != nil {
		done(*new(V), false, err)
		return
	}
	answer := func() { done(f.readFor(w)) }
	if !f.addAfterFunc(&afterFunc{do: answer, quick: true}) { // it has ended since flightFor
		answer()
	}
	if !w.joined {
		go f.run()
	}
}
