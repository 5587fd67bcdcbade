package main

import (
	"context"
	"time"

	"github.com/golang/groupcache"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"github.com/snowfence/snowfence/cache"
	"github.com/viccon/sturdyc"
	"golang.org/x/sync/singleflight"
)

// capacity is far more than one key needs.
const capacity = 10_000

// A loader loads the key when a library misses it.
type loader func(ctx context.Context) (string, error)

// A subject is a cache of a library that loads the key.
type subject struct {
	fetch func(ctx context.Context) (string, error)
	del   func()             // nil: not supported
	set   func(value string) // nil: not supported
	close func() error       // nil: nothing to close
}

// A library makes subjects.
type library struct {
	name    string // on the command line
	title   string // in the table, short
	what    string // in words
	modules []string
	make    func(load loader) (subject, error)
}

// libraries are the columns, in the table's order.
var libraries = []library{
	{
		name: "singleflight-do", title: "Do", what: "Do of x/sync/singleflight, in front of golang-lru",
		modules: []string{"golang.org/x/sync", "github.com/hashicorp/golang-lru/v2"}, make: newDo,
	},
	{
		name: "singleflight-dochan", title: "DoChan",
		what:    "DoChan of x/sync/singleflight and select, in front of golang-lru",
		modules: []string{"golang.org/x/sync", "github.com/hashicorp/golang-lru/v2"}, make: newDoChan,
	},
	{
		name: "otter", title: "otter", what: "Get of maypok86/otter/v2",
		modules: []string{"github.com/maypok86/otter/v2"}, make: newOtter,
	},
	{
		name: "sturdyc", title: "sturdyc", what: "GetOrFetch of viccon/sturdyc",
		modules: []string{"github.com/viccon/sturdyc"}, make: newSturdyc,
	},
	{
		name: "groupcache", title: "groupcache", what: "Group.Get of golang/groupcache, without peers",
		modules: []string{"github.com/golang/groupcache"}, make: newGroupcache,
	},
	{
		name: "snowfence", title: "Snowfence",
		what:    "Fetch of Snowfence's cache, with the options as they come",
		modules: []string{"github.com/snowfence/snowfence"}, make: newSnowfence,
	},
}

func newSnowfence(load loader) (subject, error) {
	c, err := cache.New(cache.Options[string, string]{})
	if err != nil {
		return subject{}, err
	}
	fetch := func(ctx context.Context, _ string) (string, error) { return load(ctx) }
	return subject{
		fetch: func(ctx context.Context) (string, error) { return c.Fetch(ctx, key, fetch) },
		del:   func() { c.Delete(key) },
		set:   func(value string) { c.Set(key, value) },
		close: c.Close,
	}, nil
}

func newDo(load loader) (subject, error) {
	return newSingleflight(load, func(_ context.Context, g *singleflight.Group,
		f func() (any, error)) (any, error) {
		v, err, _ := g.Do(key, f)
		return v, err
	})
}

func newDoChan(load loader) (subject, error) {
	return newSingleflight(load, func(ctx context.Context, g *singleflight.Group,
		f func() (any, error)) (any, error) {
		select {
		case r := <-g.DoChan(key, f):
			return r.Val, r.Err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

// newSingleflight combines x/sync's singleflight, called by do, with golang-lru.
func newSingleflight(
	load loader, do func(context.Context, *singleflight.Group, func() (any, error)) (any, error),
) (subject, error) {
	c, err := lru.New[string, string](capacity)
	if err != nil {
		return subject{}, err
	}
	var flights singleflight.Group
	return subject{
		fetch: func(ctx context.Context) (string, error) {
			if v, ok := c.Get(key); ok {
				return v, nil
			}
			v, err := do(ctx, &flights, loadAndAdd(ctx, c, load))
			return text(v), err
		},
		del: func() { remove(c, &flights) },
		set: func(value string) { c.Add(key, value) },
	}, nil
}

// loadAndAdd returns the function of a flight of singleflight.
func loadAndAdd(
	ctx context.Context, c *lru.Cache[string, string], load loader,
) func() (any, error) {
	return func() (any, error) {
		v, err := load(ctx)
		if err == nil {
			c.Add(key, v)
		}
		return v, err
	}
}

// remove deletes the key, and makes later callers start a flight of their own.
func remove(c *lru.Cache[string, string], flights *singleflight.Group) {
	c.Remove(key)
	flights.Forget(key)
}

// text returns v as a string, or "" if it is none: a flight that failed has nil.
func text(v any) string {
	s, _ := v.(string)
	return s
}

func newOtter(load loader) (subject, error) {
	c, err := otter.New(&otter.Options[string, string]{MaximumSize: capacity})
	if err != nil {
		return subject{}, err
	}
	fetch := func(ctx context.Context, _ string) (string, error) { return load(ctx) }
	return subject{
		fetch: func(ctx context.Context) (string, error) {
			return c.Get(ctx, key, otter.LoaderFunc[string, string](fetch))
		},
		del: func() { c.Invalidate(key) },
		set: func(value string) { c.Set(key, value) },
	}, nil
}

// newSturdyc uses the numbers of sturdyc's README.
func newSturdyc(load loader) (subject, error) {
	c := sturdyc.New[string](capacity, 10, 2*time.Hour, 10)
	return subject{
		fetch: func(ctx context.Context) (string, error) {
			return c.GetOrFetch(ctx, key, sturdyc.FetchFn[string](load))
		},
		del: func() { c.Delete(key) },
		set: func(value string) { c.Set(key, value) },
	}, nil
}

// newGroupcache makes a group, which stays for ever. A process can have only one group of a name.
func newGroupcache(load loader) (subject, error) {
	get := func(ctx context.Context, _ string, dest groupcache.Sink) error {
		v, err := load(ctx)
		if err != nil {
			return err
		}
		return dest.SetString(v)
	}
	g := groupcache.NewGroup("faults", 1<<20, groupcache.GetterFunc(get))
	return subject{fetch: func(ctx context.Context) (v string, err error) {
		err = g.Get(ctx, key, groupcache.StringSink(&v))
		return v, err
	}}, nil
}
