package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/deletes"
	"github.com/snowfence/snowfence/cache/cluster/internal/ownership"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/cache/cluster/internal/quarantine"
	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

// A Cache is one node's part of a cache that all nodes of a cluster share. Its methods may be
// called at the same time.
type Cache[V any] struct {
	o           Options[V]
	self        string // the node's name in the registry
	incarnation uint64 // random: a Cache that the node makes later has another one
	log         *slog.Logger

	// own entries and copies; its flights run loadOrAsk
	store      *cache.Cache[string, V]
	entries    hook.Store[string, V]           // the same store, with its internal methods
	copies     copies                          // the entries of other owners
	asking     asking                          // the keys that this node asks peers for
	loads      *courier.Courier[*flightKey, V] // see loadHereMany
	localLoads turns                           // MaxLocalLoads
	hasSecond  bool                            // the store has a second level
	tagDrops   atomic.Uint64                   // calls of dropTag so far

	owners     ownership.Owners
	deletes    *deletes.Book
	quarantine *quarantine.Book
	client     *peer.Client
	server     *peer.Server
	members    members

	counters counters

	// Method values, made once: each use would allocate one.
	loadOrAskFn, loadOwnFn, loadFn, tryFn func(context.Context, string) (V, error)

	life    context.Context // ends with Close
	end     context.CancelCauseFunc
	closed  atomic.Bool
	running sync.WaitGroup // the goroutines of members
	closing sync.Once
	err     error // of Close

	encodeFailed atomic.Bool // it was logged that a value could not be encoded
}

var _ cache.Fetcher[string, any] = (*Cache[any])(nil)

// New makes this node's part of the cache, and announces it to the nodes that run the same cache.
// From then on they send requests to Options.URL, so its server should be listening already. If it
// does not accept connections yet, the requests wait, for Options.PeerTimeout at most. Mount
// Handler next.
//
// New waits until this node knows the other members, for registry.Config.SyncTimeout at most, and
// then until it knows their deletes, for Options.PeerTimeout at most. It fails with an
// [*OptionError], also if another open cache over this registry has the same name; with an error of
// cache.New about Options.Cache; or with one of the registry.
func New[V any](o Options[V]) (*Cache[V], error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Cache[V]{o: o, self: o.Registry.NodeName(), incarnation: rand.Uint64()}
	c.log = o.Logger.With("cache", o.Name, "node", c.self)
	wire, err := c.peerConfig()
	if err != nil {
		return nil, err
	}
	c.warnIfOpen()
	c.life, c.end = context.WithCancelCause(context.Background())
	c.loadOrAskFn, c.loadOwnFn, c.loadFn, c.tryFn = c.loadOrAsk, c.loadOwn, c.load, c.tryFor
	c.quarantine = c.newBook()
	c.owners = c.newOwners()
	if err := c.openStore(); err != nil {
		return nil, errors.Join(err, bounded(closeGrace, c.owners.Close))
	}
	c.deletes = deletes.New(deletes.Options{
		Self: c.incarnation, Max: o.DeleteLog, Apply: c.applyDeletes, Reset: c.reset,
	})
	c.client = peer.NewClient(wire, o.Transport)
	c.server = peer.NewServer(wire, backend[V]{c})
	if err := c.join(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.awaitDeletes()
	c.log.Info("this node takes part in the cache", "url", o.URL, "ownership", o.Ownership.String(),
		"others", len(c.members.all()), "members", len(o.Registry.Members())-1)
	return c, nil
}

// openStore makes the store, and the courier of loads in place of owners.
func (c *Cache[V]) openStore() (err error) {
	own := c.o.Cache
	if own.Logger == nil && c.o.Logger.Handler() != slog.DiscardHandler {
		own.Logger = c.log
	}
	loads := slices.Clip(own.Courier)
	if own.Timeout != 0 {
		loads = append(loads, courier.WithTimeout(max(0, own.Timeout)))
	}
	if own.Logger != nil {
		loads = append(loads, courier.WithLogger(own.Logger))
	}
	own.Courier = append(slices.Clip(own.Courier), courier.WithTurnOnDemand()) // asking takes no turn
	// MaxBatch is about LoadMany, and not about requests to owners.
	own.MaxBatch = 0
	if c.store, err = cache.New(own); err != nil {
		return err
	}
	c.loads = courier.New[*flightKey, V](append(loads, courier.WithIsFailure(c.isFailure))...)
	c.localLoads.Weighted = semaphore.NewWeighted(int64(c.o.MaxLocalLoads))
	c.copies.capacity, c.copies.maxWeight = c.o.CopyCapacity, c.o.CopyWeight
	c.entries = hook.Of[string, V](c.store)
	c.entries.OnChange(c.entryChanged)
	c.hasSecond = c.entries.TakeSecondLevel(c.removedSecond)
	return nil
}

// isNotFound reports whether an error of Load says that there is no record.
func (c *Cache[V]) isNotFound(err error) bool {
	is := c.o.Cache.IsNotFound
	return errors.Is(err, cache.ErrNotFound) || is != nil && is(err)
}

// isFailure reports whether err, of a Load, is a failure rather than an answer.
func (c *Cache[V]) isFailure(err error) bool {
	return err != nil && !c.isNotFound(err) && !errors.Is(err, cache.ErrNotModified)
}

func (c *Cache[V]) peerConfig() (peer.Config, error) {
	var identity *peer.Identity
	if len(c.o.SharedKeys) > 0 {
		var err error
		if identity, err = peer.NewIdentity(c.o.SharedKeys); err != nil {
			return peer.Config{}, fmt.Errorf("cluster: %w", err)
		}
	}
	propagator := c.o.Propagator
	if propagator == nil {
		propagator = w3c{}
	}
	return peer.Config{
		Node: c.self, Incarnation: c.incarnation, Cache: c.o.Name,
		Identity: identity, TLS: c.o.TLS, Authorize: c.o.Authorize,
		MaxKey: c.o.MaxKey, MaxValue: c.o.MaxValue,
		MaxMessage:  messageSize + deletes.Overhead + 2*c.o.MaxKey + 2*newsSize,
		MaxRequests: c.o.MaxPeerRequests,
		PeerTimeout: c.o.PeerTimeout, Propagator: propagator, Errors: c.o.Errors, Logger: c.log,
	}, nil
}

func (c *Cache[V]) newOwners() ownership.Owners {
	config := ownership.Config{
		Registry: c.o.Registry, Self: c.self, Cache: c.o.Name, Slots: c.o.Slots,
		IdleRelease: c.o.IdleRelease, Settle: time.Second, Round: time.Second,
		Has: c.hasEntry, Lost: c.ownershipLost, Logger: c.log,
		Keys: func(yield func(string) bool) { c.store.Keys()(yield) },
	}
	switch c.o.Ownership {
	case ByKey:
		return ownership.NewKeys(config)
	case ByRing:
		return ownership.NewRing(config)
	default:
		return ownership.NewSlots(config)
	}
}

// Handler serves the requests of other nodes. Mount it under the path of Options.URL, on any
// server; with Options.SharedKeys, the server's TLSConfig must be that of [SharedKeyTLS]. A pattern
// of http.ServeMux ends in a slash: "/_cache/". Handler looks at the end of a request's path only,
// so the prefix may be stripped or not. Middleware around it must pass interim answers (1xx) on;
// http.TimeoutHandler does not.
func (c *Cache[V]) Handler() http.Handler { return c.server }

// Close ends this node's part. From its beginning on every caller gets ErrClosed, and no Delete of
// another node waits for this one any more. The others stop asking this node, its names are free,
// and loads are cancelled. Close waits for the requests of others that are being served, for
// Options.PeerTimeout or a second, whichever is longer. The registry stays open, and the handler
// refuses later requests. Further calls return what the first one did.
func (c *Cache[V]) Close() error {
	c.closing.Do(func() {
		c.closed.Store(true)
		c.endTrials()
		c.leave()
		c.err = bounded(closeGrace, c.owners.Close) // first, so that others can own its keys
		if err := bounded(max(c.o.PeerTimeout, time.Second), c.server.Close); err != nil {
			c.log.Debug("requests of other nodes were broken off", "error", err)
		}
		c.end(ErrClosed)
		c.running.Wait()
		c.err = errors.Join(c.err, c.store.Close(), bounded(closeGrace, c.loads.Shutdown))
		c.client.Close()
	})
	return c.err
}

// closeGrace bounds each part of Close.
const closeGrace = 5 * time.Second

// bounded calls f with a context of its own that ends after d.
func bounded(d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return f(ctx)
}
