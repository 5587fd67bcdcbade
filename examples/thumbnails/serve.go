package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
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
	// The registry: who is there, and who owns what. All nodes have the same list of seeds; a node's own address in it does no
	// harm, and the first one to start finds nobody and begins the cluster.
	names, err := registry.Open(ctx, registry.Config{
		NodeName: c.name(), BindAddr: "127.0.0.1", BindPort: c.gossipPort(), Seeds: c.seeds(), Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, names.Close()) }()

	// Listen before the cache is made: from then on the others may ask.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.httpAddr())
	if err != nil {
		return err
	}
	o := cluster.Options[[]byte]{
		Registry: names,
		URL:      "http://" + c.httpAddr() + "/_cache",
		Load:     maker{c.work}.make,
		Cache:    cache.Options[string, []byte]{MaxWeight: 64 << 20, Weigher: weight, TTL: c.ttl, TTLJitter: 0.1},
		Errors:   map[string]error{"no-picture": errNoPicture}, // so that errors.Is finds it on other nodes, too
		Logger:   log,
	}
	if c.secret != "" {
		o.SharedKeys = [][]byte{[]byte(c.secret)}
	}
	thumbs, err := cluster.New(o)
	if err != nil {
		return errors.Join(err, listener.Close())
	}

	metrics := prometheus.NewRegistry()
	metrics.MustRegister(clusterprom.New("thumbs", thumbs.Stats), clusterprom.NewRegistry(names))
	var ready atomic.Bool
	mux := http.NewServeMux()
	mux.Handle("/_cache/", thumbs.Handler())
	mux.Handle("/thumb/{name}", gallery{c.name(), thumbs, log.With("node", c.name())})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, "starting or ending", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	server := &http.Server{Handler: mux, Protocols: cluster.Protocols(), HTTP2: cluster.HTTP2(), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	ready.Store(true)
	log.Info("serving", "node", c.name(), "url", "http://"+c.httpAddr()+"/thumb/cat")

	select {
	case <-ctx.Done():
	case err := <-ended:
		return errors.Join(err, thumbs.Close())
	}
	// The end, from the outside in: say that no more should come; close the cache, so that the other nodes stop asking and
	// take over what this one owned; let requests end; then leave the registry (deferred above: Close is enough, since
	// the cache has given up all names).
	log.Info("ending", "node", c.name())
	ready.Store(false)
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.shutdown)
	defer cancel()
	return errors.Join(thumbs.Close(), server.Shutdown(leaving), names.Leave(leaving))
}

// weight is what a thumbnail takes of the cache's 64 MiB.
func weight(name string, thumb []byte) uint32 { return uint32(len(name) + len(thumb) + 200) } //nolint:gosec // thumbnails are small
