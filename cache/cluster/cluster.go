package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/deletes"
	"github.com/snowfence/snowfence/cache/cluster/internal/ownership"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

// A Cache is one node's part of a cache that all nodes of a cluster share. Its methods may be called at the same time.
type Cache[V any] struct {
	o    Options[V]
	self string // the node's name in the registry
	run  uint64 // tells this Cache from those that the node had before it was restarted
	log  *slog.Logger

	owned  *cache.Cache[string, V]     // what this node owns; its flights run Load
	copies *cache.Cache[string, V]     // what others own; its flights ask them
	local  *courier.Courier[string, V] // loads on behalf of owners that do not deliver
	spare  *semaphore.Weighted         // bounds local: MaxLocalLoads

	units   ownership.Units
	deletes *deletes.Log
	client  *peer.Client
	server  *peer.Server
	members members

	counters counters
	loadFn   func(context.Context, string) (V, error) // loadOwn and ask, as values that are made once
	askFn    func(context.Context, string) (V, error)

	life    context.Context // ends with Close
	end     context.CancelCauseFunc
	closed  atomic.Bool
	running sync.WaitGroup // the goroutines of members
	closing sync.Once
	err     error // of Close
}

// New makes this node's part of the cache, and has the nodes that run the same cache know of it. From then on they send
// requests to Options.URL, so its server should be listening already (if it does not accept connections yet, they wait,
// for Options.PeerTimeout). Mount Handler next.
//
// It waits until this node knows the others, for registry.Config.SyncTimeout at most. It fails with an [*OptionError], an error of
// cache.New about Options.Cache, or an error of the registry.
func New[V any](o Options[V]) (*Cache[V], error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Cache[V]{o: o, self: o.Registry.NodeName(), run: rand.Uint64(), spare: semaphore.NewWeighted(int64(o.MaxLocalLoads))}
	c.log = o.Logger.With("cache", o.Name, "node", c.self)
	c.life, c.end = context.WithCancelCause(context.Background())
	c.loadFn, c.askFn = c.loadOwn, c.ask
	if err := c.openStores(); err != nil {
		return nil, err
	}
	c.deletes = deletes.New(deletes.Options{Run: c.run, Max: o.DeleteLog, Apply: c.applyDeletes, Reset: c.reset})
	transport := o.Transport
	if transport == nil {
		transport = peer.DefaultTransport(o.TLS, o.PeerTimeout)
	}
	wire := c.peerConfig()
	c.client = peer.NewClient(wire, transport)
	c.server = peer.NewServer(wire, backend[V]{c})
	c.units = c.newUnits()
	if err := c.join(); err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: %w", err), c.Close())
	}
	return c, nil
}

// openStores makes the caches of own entries and of copies.
func (c *Cache[V]) openStores() (err error) {
	own := c.o.Cache
	if c.owned, err = cache.New(own); err != nil {
		return err
	}
	hook.OnLeft(c.owned, func(key string) {
		if !c.kept(key) {
			c.units.Left(key)
		}
	})
	c.copies, err = cache.New(cache.Options[string, V]{
		Capacity: c.o.CopyCapacity, MaxWeight: c.o.CopyWeight, Weigher: own.Weigher,
		TTL: own.TTL, TTLJitter: own.TTLJitter,
		// What they wait for has a time-out of its own: the load, on whatever node it runs, and a silent owner.
		Courier: []courier.Option{courier.WithTimeout(0)},
	})
	if err != nil {
		return errors.Join(err, c.owned.Close())
	}
	c.local = courier.New[string, V](own.Courier...)
	return nil
}

func (c *Cache[V]) peerConfig() peer.Config {
	propagator := c.o.Propagator
	if propagator == nil {
		propagator = w3c{}
	}
	return peer.Config{
		Node: c.self, Run: c.run, Cache: c.o.Name,
		Keys: c.o.SharedKeys, RequireTLS: c.o.TLS != nil, Authorize: c.o.Authorize,
		MaxKey: c.o.MaxKey, MaxValue: c.o.MaxValue, MaxMessage: messageSize + deletes.MinMessage + 2*c.o.MaxKey, MaxRequests: c.o.MaxPeerRequests,
		Silence: c.o.PeerTimeout, Propagator: propagator, Errors: c.o.Errors, Logger: c.log,
	}
}

func (c *Cache[V]) newUnits() ownership.Units {
	config := ownership.Config{
		Registry: c.o.Registry, Self: c.self, Cache: c.o.Name, Slots: c.o.Slots, IdleRelease: c.o.IdleRelease,
		Lost: c.demote, LostKeys: c.demoteKeys, Logger: c.log,
	}
	switch c.o.Ownership {
	case BySlot:
		return ownership.NewSlots(config)
	case ByRing:
		return ownership.NewRing(config)
	default:
		return ownership.NewKeys(config)
	}
}

// Handler serves the requests of other nodes. Mount it under the path of Options.URL, on a server that speaks HTTP/2
// ([Protocols], [HTTP2]). It looks at the end of a request's path only, so it does not matter whether the prefix is stripped.
func (c *Cache[V]) Handler() http.Handler { return c.server }

// Close ends this node's part: the others are told and stop asking it, its names are free, loads are cancelled and every caller
// gets ErrClosed. It waits for requests of others that are being served, for Options.PeerTimeout at most. The registry stays
// open, and the handler refuses what still comes. Further calls return what the first one did.
func (c *Cache[V]) Close() error {
	c.closing.Do(func() {
		c.closed.Store(true)
		c.leave()
		c.err = bounded(closeGrace, c.units.Close) // first, so that others can own what this node did
		if err := bounded(max(c.o.PeerTimeout, time.Second), c.server.Close); err != nil {
			c.log.Debug("requests of other nodes were broken off", "error", err)
		}
		c.end(ErrClosed)
		c.running.Wait()
		c.err = errors.Join(c.err, c.copies.Close(), c.owned.Close(), bounded(closeGrace, c.local.Shutdown))
		c.client.Close()
	})
	return c.err
}

// closeGrace is how long what ends may take to do so.
const closeGrace = 5 * time.Second

// bounded calls f with a context of its own that ends after d.
func bounded(d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return f(ctx)
}
