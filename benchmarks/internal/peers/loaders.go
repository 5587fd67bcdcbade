package peers

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/jellydator/ttlcache/v3"
	"github.com/maypok86/otter/v2"
	"github.com/viccon/sturdyc"
)

// Otter returns maypok86/otter with a loader. Entries expire after writing.
func Otter[V any](s Setup[V]) (Cache[V], error) {
	o := &otter.Options[uint64, V]{
		MaximumSize:      s.Capacity,
		ExpiryCalculator: otter.ExpiryWriting[uint64, V](s.TTL),
	}
	if s.RefreshAfter > 0 {
		o.RefreshCalculator = otter.RefreshWriting[uint64, V](s.RefreshAfter)
	}
	c, err := otter.New(o)
	if err != nil {
		return Cache[V]{}, err
	}
	loader := otter.LoaderFunc[uint64, V](s.Load)
	return Cache[V]{
		Fetch: func(ctx context.Context, key uint64) (V, error) { return c.Get(ctx, key, loader) },
		Set:   func(key uint64, value V) { c.Set(key, value) },
		Close: func() { c.StopAllGoroutines() },
	}, nil
}

// Sturdyc returns viccon/sturdyc with the numbers of its README. A refresh in the background comes
// between RefreshAfter and the middle of that and the TTL. Past its TTL a value is refreshed while
// its caller waits, and given if that fails. It can't be closed.
func Sturdyc[V any](s Setup[V]) (Cache[V], error) {
	const shards, percentage = 10, 10
	var opts []sturdyc.Option
	if s.RefreshAfter > 0 {
		const retryBaseDelay = 10 * time.Millisecond
		opts = append(opts, sturdyc.WithEarlyRefreshes(
			s.RefreshAfter, (s.RefreshAfter+s.TTL)/2, s.TTL, retryBaseDelay))
	}
	c := sturdyc.New[V](s.Capacity, shards, s.TTL+s.StaleFor, percentage, opts...)
	return Cache[V]{
		Fetch: func(ctx context.Context, key uint64) (V, error) {
			v, err := c.GetOrFetch(ctx, strconv.FormatUint(key, 10),
				func(ctx context.Context) (V, error) { return s.Load(ctx, key) })
			if errors.Is(err, sturdyc.ErrOnlyCachedRecords) { // it comes with the older value
				err = nil
			}
			return v, err
		},
		Set:   func(key uint64, value V) { c.Set(strconv.FormatUint(key, 10), value) },
		Close: func() {},
	}, nil
}

// Theine returns a loading cache of Yiling-J/theine-go.
func Theine[V any](s Setup[V]) (Cache[V], error) {
	c, err := theine.NewBuilder[uint64, V](int64(s.Capacity)).BuildWithLoader(
		func(ctx context.Context, key uint64) (theine.Loaded[V], error) {
			v, err := s.Load(ctx, key)
			return theine.Loaded[V]{Value: v, Cost: 1, TTL: s.TTL}, err
		})
	if err != nil {
		return Cache[V]{}, err
	}
	return Cache[V]{
		Fetch: c.Get,
		Set:   func(key uint64, value V) { c.SetWithTTL(key, value, 1, s.TTL) },
		Close: c.Close,
	}, nil
}

// ErrNoItem is the error of every load that fails in a TTLCache, whose loaders return none.
var ErrNoItem = errors.New("ttlcache: no item")

// TTLCache returns jellydator/ttlcache with a SuppressedLoader. Hits do not lengthen an entry's
// life. Its loaders have no context.
func TTLCache[V any](s Setup[V]) (Cache[V], error) {
	load := func(c *ttlcache.Cache[uint64, V], key uint64) *ttlcache.Item[uint64, V] {
		v, err := s.Load(context.Background(), key)
		if err != nil {
			return nil
		}
		return c.Set(key, v, ttlcache.DefaultTTL)
	}
	c := ttlcache.New(
		ttlcache.WithCapacity[uint64, V](uint64(s.Capacity)), //nolint:gosec // above 0
		ttlcache.WithTTL[uint64, V](s.TTL),
		ttlcache.WithDisableTouchOnHit[uint64, V](),
		ttlcache.WithLoader(ttlcache.NewSuppressedLoader(ttlcache.LoaderFunc[uint64, V](load), nil)))
	ended := make(chan struct{})
	go func() { // deletes expired entries, until Close
		defer close(ended)
		c.Start()
	}()
	return Cache[V]{
		Fetch: func(_ context.Context, key uint64) (v V, err error) {
			item := c.Get(key)
			if item == nil {
				return v, ErrNoItem
			}
			return item.Value(), nil
		},
		Set: func(key uint64, value V) { c.Set(key, value, ttlcache.DefaultTTL) },
		Close: func() {
			for {
				c.Stop() // it does nothing if Start has not begun
				select {
				case <-ended:
					return
				default:
					runtime.Gosched()
				}
			}
		},
	}, nil
}
