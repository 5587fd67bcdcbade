package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/clusterdebug"
	"github.com/snowfence/snowfence/cache/cluster/clusterprom"
	"github.com/snowfence/snowfence/debug"
	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/registryprom"
)

// serve runs one node until ctx ends or a server fails, and shuts it down.
func serve(ctx context.Context, c config, log *slog.Logger) (err error) {
	// There are three listeners. Those for other nodes, and for metrics and health checks, must not
	// be reachable for users, and must stay open until the last of their requests has ended. Listen
	// before joining the registry: if a port is in use, no other node knows this one yet.
	public, err := new(net.ListenConfig).Listen(ctx, "tcp", c.addr(c.publicPort))
	if err != nil {
		return fmt.Errorf("listen for users (-port): %w", err)
	}
	defer public.Close()
	internal, err := new(net.ListenConfig).Listen(ctx, "tcp", c.addr(c.internalPort))
	if err != nil {
		return fmt.Errorf("listen for operators (-inside-port): %w", err)
	}
	defer internal.Close()
	peers, err := new(net.ListenConfig).Listen(ctx, "tcp", c.addr(c.cachePort))
	if err != nil {
		return fmt.Errorf("listen for other nodes (-cache-port): %w", err)
	}
	defer peers.Close()

	// The registry knows the nodes, and the owner of each key. Open returns once this node has
	// received the others' state, or has found no other node.
	names, err := openRegistry(ctx, c, log)
	if err != nil {
		return fmt.Errorf("open the registry (-gossip-port): %w", err)
	}
	defer func() { err = errors.Join(err, names.Close()) }()

	thumbs, err := openCache(c, names, log)
	if err != nil {
		return err
	}
	defer thumbs.Close() // for the errors below; n.stop closes it otherwise

	n := node{config: c, names: names, thumbs: thumbs, log: log.With("node", c.name())}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(
		clusterprom.New("thumbs", thumbs), registryprom.New(names.Stats))
	page, err := debug.New(debug.Options{})
	if err != nil {
		return err
	}
	page.Add("thumbs", clusterdebug.New(thumbs))
	mux := http.NewServeMux()
	mux.Handle("/debug/snowfence/", page)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if ctx.Err() != nil {
			http.Error(w, "ending", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok") // by now the registry and the cache are open
	})
	n.internal = &http.Server{
		Handler: mux, ReadHeaderTimeout: requestTimeout, IdleTimeout: time.Minute,
	}
	// The server for other nodes has no WriteTimeout, since the cache sends signs of life for as
	// long as a thumbnail takes to make.
	n.peers = &http.Server{
		Handler: thumbs.Handler(), ReadHeaderTimeout: requestTimeout, IdleTimeout: 2 * time.Minute,
	}
	servePeers := n.peers.Serve
	if len(c.secret) > 0 {
		if n.peers.TLSConfig, err = cluster.SharedKeyTLS(c.secret); err != nil {
			return err
		}
		servePeers = func(l net.Listener) error { return n.peers.ServeTLS(l, "", "") }
	}
	n.public = &http.Server{
		Handler:           gallery{c.name(), thumbs, n.log}.handler(),
		ReadHeaderTimeout: requestTimeout, WriteTimeout: 2 * requestTimeout, IdleTimeout: time.Minute,
	}
	broken := make(chan error, 3)
	go func() { broken <- servePeers(peers) }()
	go func() { broken <- n.internal.Serve(internal) }()
	go func() { broken <- n.public.Serve(public) }()
	n.log.Info("serving",
		"try", c.thumbURL("cat"), "metrics", "http://"+c.addr(c.internalPort)+"/metrics")

	select {
	case <-ctx.Done():
	case err = <-broken:
	}
	n.log.Info("ending")
	return errors.Join(err, n.stop())
}

// A node holds everything that serve has opened.
type node struct {
	config
	names    *registry.Registry
	thumbs   *cluster.Cache[*thumbnail]
	public   *http.Server // for users
	internal *http.Server // for operators
	peers    *http.Server // for the other nodes
	log      *slog.Logger
}

// stop shuts the node down from the outside in, so that no part is used after it was closed.
// /healthz returns 503 by now.
func (n node) stop() error {
	// 1. The users' server: accept no new requests, and wait for those under way. The node still
	// asks the other nodes and serves them.
	ctx, cancel := context.WithTimeout(context.Background(), n.shutdownTimeout)
	defer cancel()
	err := n.public.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("requests did not end within %v: %w", n.shutdownTimeout, err)
		err = errors.Join(err, n.public.Close())
	}
	// 2. The cache: its Close notifies the other nodes, which then send no more requests to this
	// one, and can own its keys.
	err = errors.Join(err, n.thumbs.Close())
	// 3. The connections of other nodes and of operators.
	ctx, cancel = context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	for _, server := range []*http.Server{n.peers, n.internal} {
		if server.Shutdown(ctx) != nil {
			err = errors.Join(err, server.Close())
		}
	}
	// 4. The registry, last, since the cache uses it. Without Leave the other nodes would need
	// seconds to detect that this one is gone. Leave fails if they shut down as well, which is no
	// error.
	ctx, cancel = context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if left := n.names.Leave(ctx); left != nil {
		n.log.Warn("not all other nodes know that this one leaves", "error", left)
	}
	return err // serve has deferred names.Close
}

func openRegistry(ctx context.Context, c config, log *slog.Logger) (*registry.Registry, error) {
	config := registry.Config{
		NodeName: c.name(),
		BindAddr: "127.0.0.1",
		BindPort: c.ownRegistryPort(),
		Seeds:    c.seeds(),
		Logger:   log,
	}
	if len(c.secret) > 0 {
		// The registry encrypts with a key of its own, derived from the same secret.
		key, err := hkdf.Key(sha256.New, c.secret, nil, "thumbnails: registry", 32)
		if err != nil {
			return nil, err
		}
		config.Keys = [][]byte{key}
	}
	return registry.Open(ctx, config)
}

func openCache(
	c config, names *registry.Registry, log *slog.Logger,
) (*cluster.Cache[*thumbnail], error) {
	options := cluster.Options[*thumbnail]{
		Registry: names,
		URL:      "http://" + c.addr(c.cachePort),
		Load:     maker{c.name(), c.makeTime, log.With("node", c.name())}.make,
		Name:     "thumbs",
		Cache: cache.Options[string, *thumbnail]{
			MaxWeight: 64 << 20, Weigher: weight, TTL: c.ttl, TTLJitter: 0.1,
		},
		Errors: map[string]error{"no-picture": errNoPicture}, // so that other nodes' errors.Is finds it
		Logger: log,
	}
	if len(c.secret) > 0 {
		options.URL, options.SharedKeys = "https://"+c.addr(c.cachePort), [][]byte{c.secret}
	}
	return cluster.New(options)
}
