package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/golang/groupcache"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/maypok86/otter/v2"
	"github.com/snowfence/snowfence/internal/experiment/snowball"
	"github.com/viccon/sturdyc"
	"golang.org/x/sync/singleflight"
)

// A library is one that --against can name.
type library struct {
	name string
	what string // how it is set up
	open func(p *snowball.Params, load snowball.Load) (snowball.Library, error)
}

var libraries = []library{
	{"singleflight-do", "Do of golang.org/x/sync/singleflight in front of golang-lru's expirable " +
		"LRU, which has the TTL", openDo},
	{"singleflight-dochan", "the same with DoChan and a select, so that callers leave at their " +
		"deadlines", openDoChan},
	{"otter", "Get of maypok86/otter/v2 with a loader; entries expire after writing", openOtter},
	{"sturdyc", "GetOrFetch of viccon/sturdyc with the numbers of its README", openSturdyc},
	{"groupcache", "Group.Get of golang/groupcache without peers; it has no TTL, so its keys hold " +
		"the time in steps of it, as its users do", openGroupcache},
}

func librariesText() string {
	var b strings.Builder
	for _, l := range libraries {
		fmt.Fprintf(&b, "%s\n    %s\n", l.name, l.what)
	}
	b.WriteString(`
Snowfence runs last, with the fix on and the parameters of the scenario, as all of them:
capacity, TTL, and the callers' deadline in the context. Where a library raises a panic
in its callers, each worker recovers from it, as the handlers of net/http do, and where
it ends them by Goexit, another worker takes their place. A library whose process ends
has a line that ends there.`)
	return b.String()
}

func newLRU(p *snowball.Params) *expirable.LRU[uint64, []byte] {
	return expirable.NewLRU[uint64, []byte](p.Capacity, nil, p.TTL)
}

// openSingleflight puts x/sync's singleflight, called by do, in front of golang-lru.
func openSingleflight(
	p *snowball.Params, load snowball.Load,
	do func(ctx context.Context, g *singleflight.Group, key string, f func() (any, error)) error,
) (snowball.Library, error) {
	c := newLRU(p)
	var g singleflight.Group
	return snowball.Library{
		Fetch: func(ctx context.Context, key uint64) error {
			if _, ok := c.Get(key); ok {
				return nil
			}
			return do(ctx, &g, strconv.FormatUint(key, 10), func() (any, error) {
				v, err := load(ctx, key)
				if err == nil {
					c.Add(key, v)
				}
				return v, err
			})
		},
		Set: func(key uint64, value []byte) { c.Add(key, value) },
	}, nil
}

func openDo(p *snowball.Params, load snowball.Load) (snowball.Library, error) {
	return openSingleflight(p, load,
		func(_ context.Context, g *singleflight.Group, key string, f func() (any, error)) error {
			_, err, _ := g.Do(key, f)
			return err
		})
}

func openDoChan(p *snowball.Params, load snowball.Load) (snowball.Library, error) {
	return openSingleflight(p, load,
		func(ctx context.Context, g *singleflight.Group, key string, f func() (any, error)) error {
			select {
			case r := <-g.DoChan(key, f):
				return r.Err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
}

func openOtter(p *snowball.Params, load snowball.Load) (snowball.Library, error) {
	c, err := otter.New(&otter.Options[uint64, []byte]{
		MaximumSize:      p.Capacity,
		ExpiryCalculator: otter.ExpiryWriting[uint64, []byte](p.TTL),
	})
	if err != nil {
		return snowball.Library{}, err
	}
	loader := otter.LoaderFunc[uint64, []byte](load)
	return snowball.Library{
		Fetch: func(ctx context.Context, key uint64) error {
			_, err := c.Get(ctx, key, loader)
			return err
		},
		Set: func(key uint64, value []byte) { c.Set(key, value) },
	}, nil
}

func openSturdyc(p *snowball.Params, load snowball.Load) (snowball.Library, error) {
	const shards, percentage = 10, 10
	c := sturdyc.New[[]byte](p.Capacity, shards, p.TTL, percentage)
	return snowball.Library{
		Fetch: func(ctx context.Context, key uint64) error {
			_, err := c.GetOrFetch(ctx, strconv.FormatUint(key, 10),
				func(ctx context.Context) ([]byte, error) { return load(ctx, key) })
			return err
		},
		Set: func(key uint64, value []byte) { c.Set(strconv.FormatUint(key, 10), value) },
	}, nil
}

func openGroupcache(p *snowball.Params, load snowball.Load) (snowball.Library, error) {
	get := func(ctx context.Context, name string, dest groupcache.Sink) error {
		text, _, _ := strings.Cut(name, "@")
		key, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return err
		}
		v, err := load(ctx, key)
		if err != nil {
			return err
		}
		return dest.SetBytes(v)
	}
	const bytes = 64 << 20
	g := groupcache.NewGroup("snowball", bytes, groupcache.GetterFunc(get))
	name := func(key uint64) string {
		return fmt.Sprintf("%d@%d", key, time.Now().UnixNano()/int64(p.TTL))
	}
	return snowball.Library{
		Fetch: func(ctx context.Context, key uint64) error {
			var v []byte
			return g.Get(ctx, name(key), groupcache.AllocatingByteSliceSink(&v))
		},
		Set: func(uint64, []byte) {}, // it has no such thing
	}, nil
}
