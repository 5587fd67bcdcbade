package cluster_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/registry"
)

// A service of one node; the others differ in their addresses and in Seeds. The order matters:
// listen, make the cache, serve. At the end it is: the server of your own callers, if it is another
// one; the cache, which makes the other nodes stop asking; the server of its handler; the registry.
func Example() {
	if err := serve(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: the user 42
}

func serve(ctx context.Context) error {
	names, err := registry.Open(ctx, registry.Config{Seeds: nil})
	if err != nil {
		return err
	}
	defer names.Close()

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	users, err := cluster.New(cluster.Options[string]{
		Registry: names,
		URL:      "http://" + listener.Addr().String() + "/_cache",
		Load: func(_ context.Context, key string) (string, error) {
			return "the user " + key, nil // an expensive query
		},
		Cache: cache.Options[string, string]{Capacity: 100_000, TTL: time.Minute},
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/_cache/", users.Handler())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	defer users.Close()

	user, err := users.Fetch(ctx, "42")
	fmt.Println(user)
	return err
}
