package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"github.com/snowfence/snowfence/cache"
	"golang.org/x/sync/singleflight"
)

// A library makes caches of ints.
type library struct {
	name string
	make func(capacity int) (*subject, error)
}

// A subject is a cache of a library. Values are the keys.
type subject struct {
	get   func(key int) bool
	set   func(key int)
	fetch func(ctx context.Context, key int) error // loads a missing key, without delay
	wait  func()                                   // nil: keys can be read as soon as they are set
	close func() error
}

// ours is the library that the others are compared with.
const ours = "snowfence"

var libraries = []library{
	{ours, newSnowfence},
	{"otter", newOtter},
	{"golang-lru", newGolangLRU},
	{"theine", newTheine},
	{"ristretto", newRistretto},
}

func libraryNames() string {
	names := make([]string, len(libraries))
	for i, l := range libraries {
		names[i] = l.name
	}
	return strings.Join(names, ",")
}

// libraryOf returns the library of that name.
func libraryOf(name string) (l library, ok bool) {
	at := slices.IndexFunc(libraries, func(l library) bool { return l.name == name })
	if at < 0 {
		return l, false
	}
	return libraries[at], true
}

func load(_ context.Context, key int) (int, error) { return key, nil }

func newSnowfence(capacity int) (*subject, error) {
	c, err := cache.New(cache.Options[int, int]{Capacity: capacity})
	if err != nil {
		return nil, err
	}
	return &subject{
		get: func(key int) bool { _, ok := c.Get(key); return ok },
		set: func(key int) { c.Set(key, key) },
		fetch: func(ctx context.Context, key int) error {
			_, err := c.Fetch(ctx, key, load)
			return err
		},
		close: c.Close,
	}, nil
}

func newOtter(capacity int) (*subject, error) {
	c, err := otter.New(&otter.Options[int, int]{MaximumSize: capacity})
	if err != nil {
		return nil, err
	}
	loader := otter.LoaderFunc[int, int](load)
	return &subject{
		get: func(key int) bool { _, ok := c.GetIfPresent(key); return ok },
		set: func(key int) { c.Set(key, key) },
		fetch: func(ctx context.Context, key int) error {
			_, err := c.Get(ctx, key, loader)
			return err
		},
		wait:  c.CleanUp,
		close: func() error { c.StopAllGoroutines(); return nil },
	}, nil
}

// newGolangLRU uses x/sync/singleflight for loads, as services do with a cache without a loader.
func newGolangLRU(capacity int) (*subject, error) {
	c, err := lru.New[int, int](capacity)
	if err != nil {
		return nil, err
	}
	return &subject{
		get:   func(key int) bool { _, ok := c.Get(key); return ok },
		set:   func(key int) { c.Add(key, key) },
		fetch: around(c.Get, func(key, value int) { c.Add(key, value) }),
		close: func() error { return nil },
	}, nil
}

// around returns a fetch with x/sync/singleflight.
func around(
	get func(key int) (int, bool), set func(key, value int),
) func(ctx context.Context, key int) error {
	var flights singleflight.Group
	return func(ctx context.Context, key int) error {
		if _, ok := get(key); ok {
			return nil
		}
		_, err, _ := flights.Do(strconv.Itoa(key), func() (any, error) {
			v, err := load(ctx, key)
			if err == nil {
				set(key, v)
			}
			return v, err
		})
		return err
	}
}

// newTheine makes a loading cache for all: a Set of a plain one and its loads would need two.
func newTheine(capacity int) (*subject, error) {
	c, err := theine.NewBuilder[int, int](int64(capacity)).BuildWithLoader(
		func(ctx context.Context, key int) (theine.Loaded[int], error) {
			v, err := load(ctx, key)
			return theine.Loaded[int]{Value: v, Cost: 1}, err
		})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return &subject{
		// A loading cache has no lookup without a load, so a missing key would be loaded.
		get: func(key int) bool { _, err := c.Get(ctx, key); return err == nil },
		set: func(key int) { c.Set(key, key, 1) },
		fetch: func(ctx context.Context, key int) error {
			_, err := c.Get(ctx, key)
			return err
		},
		wait:  c.Wait,
		close: func() error { c.Close(); return nil },
	}, nil
}

func newRistretto(capacity int) (*subject, error) {
	c, err := ristretto.NewCache(&ristretto.Config[int, int]{
		NumCounters: 10 * int64(capacity), MaxCost: int64(capacity), BufferItems: 64,
		IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	return &subject{
		get:   func(key int) bool { _, ok := c.Get(key); return ok },
		set:   func(key int) { c.Set(key, key, 1) },
		fetch: around(c.Get, func(key, value int) { c.Set(key, value, 1) }),
		wait:  c.Wait,
		close: func() error { c.Close(); return nil },
	}, nil
}
