package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	rediscache "github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"
	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachevalkey"
	"github.com/valkey-io/valkey-go"
)

// A library makes caches of strings with a second level.
type library struct {
	name  string
	setUp string // in words
	make  func(o options) (*subject, error)
}

// The options of a cache.
type options struct {
	addr     string // of the server
	capacity int    // entries in the process
	origin   *origin
}

// A subject is a cache of a library.
type subject struct {
	get     func(ctx context.Context, key string) (string, error)
	getMany func(ctx context.Context, keys []string) (map[string]string, error) // nil: no such call

	// flush waits for what is written behind. nil: a value is written before get returns it.
	flush func(ctx context.Context) error
	close func() error
}

// keep is how long a value is kept on the server, and keepLocally how long in the process by a
// library that does not notice deletes of others: both as its documentation shows.
const (
	keep        = time.Hour
	keepLocally = time.Minute
)

// ours is the library that the others are compared with.
const ours = "snowfence"

var libraries = []library{
	{ours, "TTL 1 h, package cachevalkey, otherwise the defaults", newSnowfence},
	{"go-redis/cache", "TinyLFU for 1 min, one go-redis client with its defaults", newRedisCache},
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

// An origin makes the values.
type origin struct {
	delay time.Duration
	loads atomic.Int64 // keys that it was asked for
}

func (o *origin) load(_ context.Context, key string) (string, error) {
	o.loads.Add(1)
	if o.delay > 0 {
		time.Sleep(o.delay)
	}
	return valueOf(key), nil
}

func (o *origin) loadMany(_ context.Context, keys []string) (map[string]string, error) {
	o.loads.Add(int64(len(keys)))
	values := make(map[string]string, len(keys))
	for _, key := range keys {
		values[key] = valueOf(key)
	}
	return values, nil
}

// valueSize is the size of a value in bytes.
const valueSize = 100

// padding follows the key in a value.
var padding = strings.Repeat(".", valueSize)

func valueOf(key string) string { return key + padding[len(key):] }

func newSnowfence(o options) (*subject, error) {
	storage, err := cachevalkey.New(cachevalkey.Options{
		Client: valkey.ClientOption{InitAddress: []string{o.addr}},
	})
	if err != nil {
		return nil, err
	}
	c, err := cache.New(cache.Options[string, string]{
		Capacity: o.capacity, TTL: keep,
		SecondLevel: cache.SecondLevel[string, string]{Storage: storage},
	})
	if err != nil {
		return nil, errors.Join(err, storage.Close())
	}
	return &subject{
		get: func(ctx context.Context, key string) (string, error) {
			return c.Fetch(ctx, key, o.origin.load)
		},
		getMany: func(ctx context.Context, keys []string) (map[string]string, error) {
			return c.FetchMany(ctx, keys, o.origin.loadMany)
		},
		flush: c.Flush,
		close: func() error { return errors.Join(c.Close(), storage.Close()) },
	}, nil
}

func newRedisCache(o options) (*subject, error) {
	client := redis.NewClient(&redis.Options{Addr: o.addr})
	c := rediscache.New(&rediscache.Options{
		Redis:      client,
		LocalCache: rediscache.NewTinyLFU(o.capacity, keepLocally),
	})
	return &subject{
		get: func(ctx context.Context, key string) (v string, err error) {
			err = c.Once(&rediscache.Item{
				Ctx: ctx, Key: key, Value: &v, TTL: keep,
				Do: func(*rediscache.Item) (any, error) { return o.origin.load(ctx, key) },
			})
			return v, err
		},
		close: client.Close,
	}, nil
}
