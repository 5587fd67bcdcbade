package main

import (
	"context"

	"github.com/snowfence/snowfence/stalltest"
)

// A library is a row of the tables.
type library struct {
	subject stalltest.Subject // its name is that on the command line
	title   string            // in the tables, short
	what    string            // in words
	modules []string
}

const (
	xsync     = "golang.org/x/sync"
	golangLRU = "github.com/hashicorp/golang-lru/v2"
	snowfence = "github.com/snowfence/snowfence"
)

// libraries are the rows, in the tables' order: those that only share loads, and then caches.
var libraries = []library{
	{
		subject: stalltest.Subject{Name: "do", New: newDo}, title: "x/sync `Do`",
		what: "Group.Do of x/sync/singleflight", modules: []string{xsync},
	},
	{
		subject: stalltest.Subject{Name: "dochan", New: newDoChan}, title: "x/sync `DoChan`",
		what: "Group.DoChan of x/sync/singleflight and select", modules: []string{xsync},
	},
	{
		subject: stalltest.Subject{Name: "resenje", New: newResenje}, title: "resenje",
		what: "Group.Do of resenje.org/singleflight", modules: []string{"resenje.org/singleflight"},
	},
	{
		subject: stalltest.Subject{Name: "snowfence-do", New: newSnowfenceDo},
		title:   "Snowfence `Do`",
		what:    "Group.DoContext of Snowfence's courier/singleflight", modules: []string{snowfence},
	},
	{
		subject: stalltest.Subject{Name: "courier", New: newCourier}, title: "Snowfence courier",
		what: "Do of Snowfence's courier, with its default options", modules: []string{snowfence},
	},
	{
		subject: stalltest.Subject{Name: "golang-lru", New: newGolangLRU, Notifies: true},
		title:   "golang-lru",
		what:    "hashicorp/golang-lru behind Group.Do of x/sync/singleflight",
		modules: []string{golangLRU, xsync},
	},
	{
		subject: stalltest.Subject{Name: "otter", New: newOtter, Refreshes: true, Notifies: true},
		title:   "otter", what: "Get and BulkGet of maypok86/otter/v2",
		modules: []string{"github.com/maypok86/otter/v2"},
	},
	{
		subject: stalltest.Subject{
			Name: "sturdyc", New: newSturdyc, Refreshes: true, ServesStale: true,
		},
		title: "sturdyc", what: "GetOrFetch and GetOrFetchBatch of viccon/sturdyc",
		modules: []string{"github.com/viccon/sturdyc"},
	},
	{
		subject: stalltest.Subject{Name: "theine", New: newTheine, Notifies: true},
		title:   "theine", what: "Get of a loading cache of Yiling-J/theine-go",
		modules: []string{"github.com/Yiling-J/theine-go"},
	},
	{
		subject: stalltest.Subject{Name: "ttlcache", New: newTTLCache, Notifies: true},
		title:   "ttlcache", what: "Get of jellydator/ttlcache/v3, with a SuppressedLoader",
		modules: []string{"github.com/jellydator/ttlcache/v3"},
	},
	{
		subject: stalltest.Subject{Name: "groupcache", New: newGroupcache},
		title:   "groupcache", what: "Group.Get of golang/groupcache, without peers",
		modules: []string{"github.com/golang/groupcache"},
	},
	{
		subject: stalltest.Subject{
			Name: "cache", New: newSnowfence, Refreshes: true, ServesStale: true, Notifies: true,
		},
		title: "Snowfence", what: "Fetch and FetchMany of Snowfence's cache, with its default options",
		modules: []string{snowfence},
	},
}

func subjects(libraries []library) []stalltest.Subject {
	all := make([]stalltest.Subject, len(libraries))
	for i := range libraries {
		all[i] = libraries[i].subject
	}
	return all
}

// loading returns the load function of a key for libraries that take functions without a key.
func loading(s stalltest.Setup, key string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) { return s.Load(ctx, key) }
}

// text returns v as a string, or "" if it is none: a call that failed has nil.
func text(v any) string {
	s, _ := v.(string)
	return s
}
