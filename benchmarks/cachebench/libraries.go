package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/golang/groupcache"
	"github.com/snowfence/snowfence/internal/experiment/snowball"
	"github.com/snowfence/snowfence/internal/lab"

	"github.com/snowfence/snowfence/benchmarks/internal/peers"
)

// A library is one that --against can name.
type library struct {
	name string
	what string // how it is set up
	open func(p *snowball.Params, load snowball.Load) (snowball.Library, error)
}

var libraries = []library{
	{
		"singleflight-do", "Do of golang.org/x/sync/singleflight in front of golang-lru's expirable " +
			"LRU, which has the TTL", through(peers.GolangLRU[[]byte]),
	},
	{
		"singleflight-dochan", "the same with DoChan and a select, so that callers leave at their " +
			"deadlines", through(peers.GolangLRUChan[[]byte]),
	},
	{
		"otter", "Get of maypok86/otter/v2 with a loader; entries expire after writing",
		through(peers.Otter[[]byte]),
	},
	{
		"sturdyc", "GetOrFetch of viccon/sturdyc with the numbers of its README",
		through(peers.Sturdyc[[]byte]),
	},
	{
		"groupcache", "Group.Get of golang/groupcache without peers; it has no TTL, so its keys hold " +
			"the time in steps of it, as its users do", openGroupcache,
	},
}

func librariesText() string {
	var terms []lab.Term
	for _, l := range libraries {
		terms = append(terms, lab.Term{Row: l.name, Meaning: l.what})
	}
	return lab.Glossaries(terms) + `

Snowfence runs last, with the fix on and the parameters of the scenario, as all of them:
capacity, TTL, and the callers' deadline in the context. Where a library raises a panic
in its callers, each worker recovers from it, as the handlers of net/http do, and where
it ends them by Goexit, another worker takes their place. A library whose process ends
has a line that ends there.`
}

// through returns how a library of package peers is opened for a run.
func through(
	peer func(peers.Setup[[]byte]) (peers.Cache[[]byte], error),
) func(*snowball.Params, snowball.Load) (snowball.Library, error) {
	return func(p *snowball.Params, load snowball.Load) (snowball.Library, error) {
		c, err := peer(peers.Setup[[]byte]{Capacity: p.Capacity, TTL: p.TTL, Load: load})
		return snowball.Library{
			Fetch: func(ctx context.Context, key uint64) error {
				_, err := c.Fetch(ctx, key)
				return err
			},
			Set: c.Set,
		}, err
	}
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
