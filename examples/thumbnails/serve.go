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
	"github.com/snowfence/snowfence/cache/cluster/clusterprom"
	"github.com/snowfence/snowfence/registry"
)

// serve is one node, until ctx ends.
func serve(ctx context.Context, c config, log *slog.Logger) (err error) {
	// Two listeners. What is inside (other nodes, metrics, health) is nothing for users, and has to be reached until
	// the last of their requests has ended. Listen first: if a port is in use, nobody has heard of this node yet.
	outside, err := new(net.ListenConfig).Listen(ctx, "tcp", c.addr(c.port))
	if err != nil {
		return fmt.Errorf("for users (-port): %w", err)
	}
	defer outside.Close()
	inside, err := new(net.ListenConfig).Listen(ctx, "tcp", c.addr(c.inside))
	if err != nil {
		return fmt.Errorf("for the other nodes (-inside-port): %w", err)
	}
	defer inside.Close()

	// Who is there, and who owns what. Open returns when this node knows what the others know, or has found nobody.
	names, err := openRegistry(ctx, c, log)
	if err != nil {
		return fmt.Errorf("for the registry (-gossip-port): %w", err)
	}
	defer func() { err = errors.Join(err, names.Close()) }()

	thumbs, err := openCache(c, names, log)
	if err != nil {
		return err
	}
	defer thumbs.Close() // if it has not been closed below

	n := node{config: c, names: names, thumbs: thumbs, log: log.With("node", c.name())}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(clusterprom.New("thumbs", thumbs.Stats), clusterprom.NewRegistry(names.Stats))
	mux := http.NewServeMux()
	mux.Handle("/_cache/", thumbs.Handler())
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if ctx.Err() != nil {
			http.Error(w, "ending", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok") // the registry has been joined and the cache is there, or we would not be here
	})
	// No WriteTimeout inside: who waits for a thumbnail that is being made is told so again and again.
	n.back = &http.Server{
		Handler: mux, Protocols: cluster.Protocols(), HTTP2: cluster.HTTP2(),
		ReadHeaderTimeout: patience, IdleTimeout: time.Minute,
	}
	n.front = &http.Server{
		Handler:           gallery{c.name(), thumbs, n.log}.handler(),
		ReadHeaderTimeout: patience, WriteTimeout: 2 * patience, IdleTimeout: time.Minute,
	}
	broken := make(chan error, 2)
	go func() { broken <- n.back.Serve(inside) }()
	go func() { broken <- n.front.Serve(outside) }()
	n.log.Info("serving", "try", c.thumbURL("cat"), "metrics", "http://"+c.addr(c.inside)+"/metrics")

	select {
	case <-ctx.Done():
	case err = <-broken:
	}
	n.log.Info("ending")
	return errors.Join(err, n.end())
}

// A node is one of the three.
type node struct {
	config
	names       *registry.Registry
	thumbs      *cluster.Cache[*thumbnail]
	front, back *http.Server // for users; for the other nodes and for operators
	log         *slog.Logger
}

// end ends a node from the outside in, so that nobody meets a part that is closed already. /healthz says 503 by now.
func (n node) end() error {
	// 1. Users: no new requests; those under way end, with the help of the other nodes, who still get answers, too.
	ctx, cancel := context.WithTimeout(context.Background(), n.shutdown)
	defer cancel()
	err := n.front.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests did not end within %v: %w", n.shutdown, err), n.front.Close())
	}
	// 2. The cache: the others hear that this node takes no part any more. They stop asking it, and can own what it owned.
	err = errors.Join(err, n.thumbs.Close())
	// 3. Their connections.
	ctx, cancel = context.WithTimeout(context.Background(), patience)
	defer cancel()
	if n.back.Shutdown(ctx) != nil {
		err = errors.Join(err, n.back.Close())
	}
	// 4. The registry, last, since the cache uses it. Leave spares the others the seconds in which they would find out
	// by themselves. If they are ending, too, there may be nobody left to tell, which is no failure.
	ctx, cancel = context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if left := n.names.Leave(ctx); left != nil {
		n.log.Warn("not all other nodes know that this one leaves", "error", left)
	}
	return err // serve has deferred names.Close
}

func openRegistry(ctx context.Context, c config, log *slog.Logger) (*registry.Registry, error) {
	config := registry.Config{
		NodeName: c.name(), BindAddr: "127.0.0.1", BindPort: c.gossipPort(), Seeds: c.seeds(), Logger: log,
	}
	if len(c.secret) > 0 {
		// The registry encrypts with a key of its own, made from the same secret.
		key, err := hkdf.Key(sha256.New, c.secret, nil, "thumbnails: registry", 32)
		if err != nil {
			return nil, err
		}
		config.Keys = [][]byte{key}
	}
	return registry.Open(ctx, config)
}

func openCache(c config, names *registry.Registry, log *slog.Logger) (*cluster.Cache[*thumbnail], error) {
	options := cluster.Options[*thumbnail]{
		Registry: names,
		URL:      "http://" + c.addr(c.inside) + "/_cache",
		Load:     maker{c.name(), c.work, log.With("node", c.name())}.make,
		Name:     "thumbs",
		Cache:    cache.Options[string, *thumbnail]{MaxWeight: 64 << 20, Weigher: weight, TTL: c.ttl, TTLJitter: 0.1},
		Errors:   map[string]error{"no-picture": errNoPicture}, // so that errors.Is finds it on other nodes, too
		Logger:   log,
	}
	if len(c.secret) > 0 {
		options.SharedKeys = [][]byte{c.secret}
	}
	return cluster.New(options)
}
