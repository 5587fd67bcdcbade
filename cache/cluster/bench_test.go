package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

const benchKeys = 10_000

// BenchmarkHit compares a hit of an own entry, and of a copy, with a hit of a plain cache.
func BenchmarkHit(b *testing.B) {
	keys := make([]string, benchKeys)
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
	}
	var from origin
	load := from.Load // once: a method value allocates
	options := cache.Options[string, string]{Capacity: 2 * benchKeys, TTL: time.Hour}

	plain, err := cache.New(options)
	require.NoError(b, err)
	defer func() { require.NoError(b, plain.Close()) }()
	hits(b, "plain", keys, func(ctx context.Context, key string) (string, error) { return plain.Fetch(ctx, key, load) })
	for _, ownership := range ownerships {
		nodes := start(b, 1, &from, func(_ int, o *cluster.Options[string]) { o.Ownership, o.Slots, o.Cache = ownership, 16, options })
		hits(b, "own/"+ownership.String(), keys, nodes[0].Fetch)
	}

	nodes := start(b, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.Cache, o.CopyTTL, o.CopyCapacity = options, time.Hour, 2*benchKeys
	})
	var elsewhere []string
	for _, key := range keys {
		asked := nodes[0].Stats().Asked
		_, err := nodes[0].Fetch(b.Context(), key)
		require.NoError(b, err)
		if nodes[0].Stats().Asked > asked {
			elsewhere = append(elsewhere, key)
		}
	}
	hits(b, "copy", elsewhere, nodes[0].Fetch)
}

// hits measures how long it takes to get what is there.
func hits(b *testing.B, name string, keys []string, get func(ctx context.Context, key string) (string, error)) {
	b.Helper()
	for _, key := range keys {
		_, err := get(b.Context(), key)
		require.NoError(b, err)
	}
	b.Run(name, func(b *testing.B) {
		ctx := b.Context()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if i == len(keys) {
					i = 0
				}
				if _, err := get(ctx, keys[i]); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkRemote compares a Fetch that asks another node with a bare HTTP/2 call that brings as many bytes.
func BenchmarkRemote(b *testing.B) {
	for _, size := range []int{100, 10 << 10, 1 << 20} {
		value := strings.Repeat("x", size)
		bytes := []byte(value)
		name := strconv.Itoa(size)
		bare := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", strconv.Itoa(size))
			_, _ = w.Write(bytes)
		}))
		bare.Config.Protocols, bare.Config.HTTP2 = cluster.Protocols(), cluster.HTTP2()
		bare.Start()
		transport := peer.DefaultTransport(nil, 0)
		call := func(ctx context.Context, _ int) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, bare.URL, strings.NewReader("key"))
			if err != nil {
				return err
			}
			answer, err := transport.RoundTrip(r)
			if err != nil {
				return err
			}
			_, err = io.ReadFull(answer.Body, make([]byte, answer.ContentLength))
			return cmpErr(err, answer.Body.Close())
		}
		both(b, "bare/"+name, size, call)
		transport.CloseIdleConnections()
		bare.Close()

		for _, keyed := range []bool{false, true} {
			name := "cluster/" + name
			if keyed {
				name = "cluster-keyed/" + strings.TrimPrefix(name, "cluster/")
			}
			var from origin
			from.set(func(context.Context, string, int) (string, error) { return value, nil })
			nodes := start(b, 2, &from, func(_ int, o *cluster.Options[string]) {
				o.CopyTTL = -1
				if keyed {
					o.SharedKeys = [][]byte{[]byte(strings.Repeat("k", cluster.MinSharedKey))}
				}
			})
			var keys []string // that the other node owns
			for i := 0; len(keys) < 64; i++ {
				key, asked := fmt.Sprint("key", i), nodes[0].Stats().Asked
				_, err := nodes[0].Fetch(b.Context(), key)
				require.NoError(b, err)
				if nodes[0].Stats().Asked > asked {
					keys = append(keys, key)
				}
			}
			both(b, name, size, func(ctx context.Context, n int) error {
				_, err := nodes[0].Fetch(ctx, keys[n%len(keys)])
				return err
			})
			require.EqualValues(b, 0, nodes[0].Stats().LocalLoads)
			for _, n := range nodes {
				n.stop(b)
			}
		}
	}
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// both measures a call one at a time (its latency), and from many goroutines (its throughput).
func both(b *testing.B, name string, size int, call func(ctx context.Context, n int) error) {
	b.Helper()
	b.Run(name+"/one", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			if err := call(b.Context(), 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(name+"/many", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		b.SetParallelism(16)
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := call(b.Context(), int(next.Add(1))); err != nil { // another key each: none waits for another's
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkHerd is a key that nobody has, fetched by 100 callers on each of three nodes, against 300 callers of one plain
// cache.
func BenchmarkHerd(b *testing.B) {
	const each = 100
	var from origin
	herd := func(b *testing.B, fetch []func(ctx context.Context, key string) (string, error)) {
		b.Helper()
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			key := fmt.Sprint("herd", i)
			var wg sync.WaitGroup
			for _, f := range fetch {
				for range each {
					wg.Go(func() {
						if _, err := f(b.Context(), key); err != nil {
							b.Error(err)
						}
					})
				}
			}
			wg.Wait()
		}
		b.ReportMetric(float64(from.total.Load())/float64(max(1, i)), "loads/key")
		from.total.Store(0)
	}
	b.Run("plain", func(b *testing.B) {
		plain, err := cache.New(cache.Options[string, string]{})
		require.NoError(b, err)
		defer func() { require.NoError(b, plain.Close()) }()
		f := func(ctx context.Context, key string) (string, error) { return plain.Fetch(ctx, key, from.Load) }
		herd(b, []func(context.Context, string) (string, error){f, f, f})
	})
	for _, ownership := range ownerships {
		b.Run(ownership.String(), func(b *testing.B) {
			nodes := start(b, 3, &from, func(_ int, o *cluster.Options[string]) { o.Ownership, o.Slots = ownership, 16 })
			herd(b, []func(context.Context, string) (string, error){nodes[0].Fetch, nodes[1].Fetch, nodes[2].Fetch})
		})
	}
}
