package peers

import (
	"context"
	"strconv"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"golang.org/x/sync/singleflight"
)

// A sharer runs f for a key, unless that runs already, and returns its outcome.
type sharer func(ctx context.Context, g *singleflight.Group, key string, f func() (any, error)) (
	any, error)

// do calls Group.Do.
func do(_ context.Context, g *singleflight.Group, key string, f func() (any, error)) (any, error) {
	v, err, _ := g.Do(key, f)
	return v, err
}

// doChan calls Group.DoChan, so that callers leave at their deadlines.
func doChan(
	ctx context.Context, g *singleflight.Group, key string, f func() (any, error),
) (any, error) {
	select {
	case r := <-g.DoChan(key, f):
		return r.Val, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// around returns a fetch as services write it for a cache without a loader.
func around[V any](
	s Setup[V], share sharer, get func(uint64) (V, bool), set func(uint64, V),
) func(context.Context, uint64) (V, error) {
	var flights singleflight.Group
	return func(ctx context.Context, key uint64) (V, error) {
		if v, ok := get(key); ok {
			return v, nil
		}
		v, err := share(ctx, &flights, strconv.FormatUint(key, 10), func() (any, error) {
			v, err := s.Load(ctx, key)
			if err == nil {
				set(key, v)
			}
			return v, err
		})
		if err != nil {
			var none V
			return none, err
		}
		return v.(V), nil //nolint:errcheck,forcetypeassert // put there above
	}
}

// GolangLRU returns the expirable LRU of hashicorp/golang-lru behind Group.Do of x/sync's
// singleflight. It can't be closed.
func GolangLRU[V any](s Setup[V]) (Cache[V], error) { return golangLRU(s, do), nil }

// GolangLRUChan is GolangLRU with Group.DoChan and a select, so that callers leave at their
// deadlines.
func GolangLRUChan[V any](s Setup[V]) (Cache[V], error) { return golangLRU(s, doChan), nil }

func golangLRU[V any](s Setup[V], share sharer) Cache[V] {
	c := expirable.NewLRU[uint64, V](s.Capacity, nil, s.TTL)
	set := func(key uint64, value V) { c.Add(key, value) }
	return Cache[V]{Fetch: around(s, share, c.Get, set), Set: set, Close: func() {}}
}

// Ristretto returns dgraph-io/ristretto behind Group.Do of x/sync's singleflight. It stores values
// in the background, and drops some.
func Ristretto[V any](s Setup[V]) (Cache[V], error) {
	c, err := ristretto.NewCache(&ristretto.Config[uint64, V]{
		NumCounters: 10 * int64(s.Capacity), MaxCost: int64(s.Capacity), BufferItems: 64,
		IgnoreInternalCost: true,
	})
	if err != nil {
		return Cache[V]{}, err
	}
	set := func(key uint64, value V) { c.SetWithTTL(key, value, 1, s.TTL) }
	return Cache[V]{Fetch: around(s, do, c.Get, set), Set: set, Close: c.Close}, nil
}
