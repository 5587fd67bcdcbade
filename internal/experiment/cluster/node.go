package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/internal/lab/cutnet"
	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/group"
)

// Serve runs a node in a process of its own. It reads the configuration and then orders, and writes
// reports, all as lines of JSON. It blocks until in ends or SIGTERM comes, or the node can't be
// opened.
func Serve(in io.Reader, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	// An interrupt goes to all processes of a terminal. The parent ends this one when it has what it
	// needs.
	signal.Ignore(os.Interrupt)
	orders := json.NewDecoder(bufio.NewReader(in))
	var c nodeConfig
	if err := orders.Decode(&c); err != nil {
		return fmt.Errorf("the node's configuration: %w", err)
	}
	n, err := openNode(ctx, c)
	if err != nil {
		return err
	}
	given := make(chan order)
	go func() { // ends with in, and so with the process
		defer close(given)
		for {
			var o order
			if orders.Decode(&o) != nil {
				return
			}
			given <- o
		}
	}()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	reports := json.NewEncoder(out)
	err = reports.Encode(nodeReport{Registry: n.address, HTTP: n.listener.Addr().String()})
	for running := err == nil; running; {
		select {
		case o, ok := <-given:
			if running = ok; ok {
				n.obey(ctx, o)
			}
		case <-ctx.Done():
			running = false
		case <-ticker.C:
			err = reports.Encode(n.report())
			running = err == nil
		}
	}
	return errors.Join(err, n.close(), reports.Encode(n.report()))
}

// A node holds what is in a node's process.
type node struct {
	c        nodeConfig
	address  string       // of the registry; empty without a cluster
	client   *http.Client // to the origin
	listener net.Listener
	stop     func()          // ends the server
	network  *cutnet.Network // this node's own
	registry *registry.Registry
	watching sync.WaitGroup
	cache    io.Closer // one of these:
	shared   *cluster.Cache[[]byte]
	plain    *cache.Cache[string, []byte] // without a cluster

	poison  atomic.Bool
	loads   atomic.Uint64 // so far
	load    *load
	loading sync.WaitGroup
}

var errOrigin = errors.New("the origin fails")

// openNode starts all but the load. If that fails the process ends, so what was opened stays open.
func openNode(ctx context.Context, c nodeConfig) (n *node, err error) {
	n = &node{c: c, network: cutnet.New(0),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	if n.load, err = newLoad(c); err != nil {
		return nil, err
	}
	if n.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	options := cache.Options[string, []byte]{Capacity: c.Capacity, TTL: c.TTL}
	mux := http.NewServeMux()
	if c.Ownership == None {
		n.plain, err = cache.New(options)
		n.cache = n.plain
	} else {
		err = n.openShared(ctx, mux, options)
		n.cache = n.shared
	}
	n.stop = serve(n.listener, mux)
	return n, err
}

func (n *node) openShared(
	ctx context.Context, mux *http.ServeMux, options cache.Options[string, []byte],
) error {
	transport, err := n.network.Listen(n.c.Name, "127.0.0.1", n.c.Port)
	if err != nil {
		return err
	}
	// A node that dies is noticed in some two seconds: faster than by default, so that a short run
	// shows it.
	n.registry, err = registry.Open(ctx, registry.Config{
		NodeName: n.c.Name, Seeds: n.c.Seeds, Transport: transport,
		ProbeInterval: 500 * time.Millisecond, ProbeTimeout: 250 * time.Millisecond, SuspicionMult: 3,
	})
	if err != nil {
		return err
	}
	n.address = n.registry.Addr()
	ownership, err := cluster.ParseOwnership(string(n.c.Ownership))
	if err != nil {
		return err
	}
	n.shared, err = cluster.New(cluster.Options[[]byte]{
		Registry: n.registry, URL: "http://" + n.listener.Addr().String() + "/_cache",
		Load: n.fromOrigin, Errors: map[string]error{"origin": errOrigin}, Cache: options,
		Ownership: ownership, CopyTTL: n.c.CopyTTL, PeerTimeout: n.c.PeerTimeout,
		Quarantine: n.c.quarantine(),
		Transport: tracer{&http.Transport{ // like package cluster's own
			DialContext: n.network.DialContext(n.c.Name), MaxIdleConnsPerHost: 64,
			DisableCompression: true,
		}},
	})
	if err != nil {
		return err
	}
	groups, err := group.Open(ctx, n.registry)
	if err != nil {
		return err
	}
	views := groups.Watch(ctx) // until the registry is closed
	n.watching.Go(func() {
		for e := range views.Events() {
			n.load.count(func(r *nodeReport) {
				r.Views = append(r.Views, view{e.Member.Node, time.Now()})
			})
		}
	})
	mux.Handle("/_cache/", n.shared.Handler())
	return nil
}

// fromOrigin loads a value, for the cache.
func (n *node) fromOrigin(ctx context.Context, key string) ([]byte, error) {
	if n.poison.Load() && key == keyName(poisonKey) {
		os.Exit(1)
	}
	number := n.loads.Add(1)
	value, err := n.ask(ctx, key, number)
	// A value that comes after its last caller has left is not kept either.
	if ctx.Err() != nil || err != nil && !errors.Is(err, errOrigin) {
		n.load.count(func(r *nodeReport) {
			r.GivenUp = append(r.GivenUp, givenUp{number, time.Now()})
		})
	}
	return value, err
}

// ask asks the origin for a value.
func (n *node) ask(ctx context.Context, key string, number uint64) ([]byte, error) {
	q := request{Key: key, Process: n.c.Process, Number: number, Vain: vainOf(ctx)}
	if n.shared != nil {
		s := n.shared.Stats()
		q.Unasked = s.AskFailures.PassedOver + s.AskFailures.Busy + s.Trials
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.c.Origin, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := n.client.Do(r)
	if err != nil {
		return nil, err
	}
	value, err := io.ReadAll(answer.Body)
	err = errors.Join(err, answer.Body.Close())
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errOrigin
	}
	if err != nil {
		return nil, err
	}
	return receive(value, time.Now()), nil
}

func (n *node) fetch(ctx context.Context, key string) ([]byte, error) {
	if n.plain != nil {
		return n.plain.Fetch(ctx, key, n.fromOrigin)
	}
	return n.shared.Fetch(withTrail(ctx), key)
}

func (n *node) obey(ctx context.Context, o order) {
	if o.Cut != nil {
		n.network.CutOnly(n.c.Name, *o.Cut...)
	}
	if o.Poison != nil {
		n.poison.Store(*o.Poison)
	}
	if !o.Begin.IsZero() {
		n.loading.Go(func() { n.load.run(ctx, o.Begin, n.fetch) })
	}
}

func (n *node) report() nodeReport {
	r := n.load.report()
	if n.plain != nil {
		s := n.plain.Stats()
		r.Stats = Stats{Hits: s.Hits, Misses: s.Misses, Loads: s.Loads}
		return r
	}
	s := n.shared.Stats()
	r.Stats = Stats{
		Hits: s.Hits, Misses: s.Misses, Loads: s.Loads, LocalLoads: s.LocalLoads, Asked: s.Asked,
		AskFailures: s.AskFailures.Total(),
		Held:        s.Held, Moved: s.Claimed, Lost: s.Lost,
	}
	for _, p := range s.Peers {
		if p.Synced {
			r.Peers++
		}
	}
	return r
}

// close ends the node in good order: the load first, then the cache, so that the others stop
// asking, the server, the registry.
func (n *node) close() error {
	n.load.stop()
	n.loading.Wait()
	errs := []error{n.cache.Close()}
	n.stop()
	if n.registry != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closePatience)
		defer cancel()
		_ = n.registry.Leave(ctx) // it fails if others can't be reached; they will notice
		errs = append(errs, n.registry.Close())
	}
	n.watching.Wait()
	n.client.CloseIdleConnections()
	return errors.Join(errs...)
}
