package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/snowfence/snowfence/cache"

	"github.com/snowfence/snowfence/benchmarks/internal/peers"
)

// The types of what a library is opened with, and of the result.
type (
	setup  = peers.Setup[*row]
	cached = peers.Cache[*row]
)

// A library is a row of the tables.
type library struct {
	name string
	what string // how it is set up
	open func(s setup) (cached, error)
}

// libraries are in the order of the tables. The first is the floor.
var libraries = []library{
	{"none", "no cache: each request is a query", openNone},
	{"snowfence", "Fetch of Snowfence's cache, with its default options and a TTL", openSnowfence},
	{
		"snowfence-stale", "with StaleFor an hour, as the README has it, and SoftTimeout 50 ms, as " +
			"docs/getting-started.md", openSnowfenceStale,
	},
	{
		"snowfence-refresh", "with RefreshAt 0.8 and TTLJitter 0.1 as well, as docs/cache.md advises",
		openSnowfenceRefresh,
	},
	{"otter", "Get of maypok86/otter/v2 with a loader and ExpiryWriting", peers.Otter[*row]},
	{
		"otter-refresh", "with RefreshWriting at half of the TTL as well, as in its README",
		refreshing(peers.Otter[*row]),
	},
	{
		"sturdyc", "GetOrFetch of viccon/sturdyc with WithEarlyRefreshes, as its README advises: in " +
			"the background from half to three quarters of the TTL, synchronous from the TTL on; if " +
			"that fails, values of up to an hour are given", refreshing(peers.Sturdyc[*row]),
	},
	{
		"golang-lru", "the expirable LRU of hashicorp/golang-lru/v2 behind Do of x/sync's singleflight",
		peers.GolangLRU[*row],
	},
	{"theine", "Get of a loading cache of Yiling-J/theine-go", peers.Theine[*row]},
	{
		"ristretto", "dgraph-io/ristretto/v2 behind Do of x/sync's singleflight",
		peers.Ristretto[*row],
	},
	{
		"ttlcache", "Get of jellydator/ttlcache/v3 with a SuppressedLoader and WithDisableTouchOnHit",
		peers.TTLCache[*row],
	},
}

func libraryNames() string {
	names := make([]string, len(libraries))
	for i := range libraries {
		names[i] = libraries[i].name
	}
	return strings.Join(names, ",")
}

// findLibrary returns the library with a name.
func findLibrary(name string) (library, bool) {
	at := slices.IndexFunc(libraries, func(l library) bool { return l.name == name })
	if at < 0 {
		return library{}, false
	}
	return libraries[at], true
}

func openNone(s setup) (cached, error) {
	return cached{Fetch: s.Load, Set: func(uint64, *row) {}, Close: func() {}}, nil
}

func openSnowfence(s setup) (cached, error) { return snowfence(s, cache.Options[uint64, *row]{}) }

// patience is the SoftTimeout of docs/getting-started.md, and staleFor the StaleFor of the README.
const (
	patience = 50 * time.Millisecond
	staleFor = time.Hour
)

func openSnowfenceStale(s setup) (cached, error) {
	return snowfence(s, cache.Options[uint64, *row]{StaleFor: staleFor, SoftTimeout: patience})
}

func openSnowfenceRefresh(s setup) (cached, error) {
	return snowfence(s, cache.Options[uint64, *row]{
		StaleFor: staleFor, SoftTimeout: patience, TTLJitter: 0.1, RefreshAt: 0.8,
	})
}

func snowfence(s setup, o cache.Options[uint64, *row]) (cached, error) {
	o.Capacity, o.TTL = s.Capacity, s.TTL
	c, err := cache.New(o)
	if err != nil {
		return cached{}, err
	}
	return cached{
		Fetch: func(ctx context.Context, id uint64) (*row, error) { return c.Fetch(ctx, id, s.Load) },
		Set:   c.Set,
		Close: func() { _ = c.Close() }, // the process ends
	}, nil
}

// refreshing sets a library up with refreshes in the background and, if it can, stale values.
func refreshing(open func(setup) (cached, error)) func(setup) (cached, error) {
	return func(s setup) (cached, error) {
		s.RefreshAfter, s.StaleFor = s.TTL/2, staleFor
		return open(s)
	}
}
