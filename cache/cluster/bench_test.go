package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
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
	hits(b, "plain", keys, func(ctx context.Context, key string) (string,
		error) {
		return plain.Fetch(ctx, key, load)
	})
	for _, ownership := range ownerships {
		nodes := start(b, 1, &from, func(_ int, o *cluster.Options[string]) {
			o.Ownership, o.Slots, o.Cache = ownership, 16, options
		})
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

// hits measures how long a hit takes.
func hits(
	b *testing.B, name string, keys []string,
	get func(ctx context.Context, key string) (string, error),
) {
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

// BenchmarkRemote compares a Fetch that asks another node with a bare call over HTTP/2 of as many
// bytes, without TLS and with the TLS of a shared key. The two take turns, so that other load of
// the machine affects both: "x-bare" is the ratio of their times, "bare-ns" the time of the bare
// call.
func BenchmarkRemote(b *testing.B) {
	for _, size := range []int{100, 10 << 10, 1 << 20} {
		for _, keyed := range []bool{false, true} {
			name := fmt.Sprintf("%d/plain", size)
			var keys [][]byte
			if keyed {
				name = fmt.Sprintf("%d/keys", size)
				keys = [][]byte{[]byte(strings.Repeat("k", cluster.MinSharedKey))}
			}
			value := strings.Repeat("x", size)
			var from origin
			from.set(func(context.Context, string, int) (string, error) { return value, nil })
			nodes := start(b, 2, &from, func(_ int, o *cluster.Options[string]) {
				o.CopyTTL, o.SharedKeys, o.Cache.TTL = -1, keys, time.Hour
			})
			theirs := keysOfTheOther(b, nodes[0], 256) // as many as are asked for in a turn
			fetch := func(ctx context.Context, n int) error {
				_, err := nodes[0].Fetch(ctx, theirs[n%len(theirs)])
				return err
			}
			call := bare(b, []byte(value), keys)
			for _, callers := range []int{1, 32} {
				b.Run(fmt.Sprintf("%s/%d", name, callers),
					func(b *testing.B) { inTurns(b, callers, call, fetch) })
			}
			require.Zero(b, nodes[0].Stats().LocalLoads)
			for _, n := range nodes {
				n.stop(b)
			}
		}
	}
}

// BenchmarkRemoteMany compares a FetchMany of 100 keys of another node with a Fetch of one: keys
// that their owner has, and keys that it loads.
func BenchmarkRemoteMany(b *testing.B) {
	for _, loaded := range []bool{false, true} {
		for _, ownership := range ownerships {
			name := ownership.String()
			if loaded {
				name += "/loaded"
			}
			b.Run(name, func(b *testing.B) {
				var from batches
				nodes := startMany(b, 2, &from, func(_ int, o *cluster.Options[string]) {
					o.Ownership, o.Slots, o.CopyTTL, o.Cache.TTL = ownership, 16, -1, time.Hour
					if loaded {
						o.Load, o.LoadMany = loadUnstored, loadManyUnstored
					}
				})
				theirs := keysOfTheOther(b, nodes[0], 100)
				inTurns(b, 1, func(ctx context.Context, _ int) error {
					_, err := nodes[0].Fetch(ctx, theirs[0])
					return err
				}, func(ctx context.Context, _ int) error {
					_, err := nodes[0].FetchMany(ctx, theirs)
					return err
				})
			})
		}
	}
}

func loadUnstored(ctx context.Context, key string) (string, error) {
	cache.StoreFor(ctx, 0)
	return key, nil
}

func loadManyUnstored(ctx context.Context, keys []string) (map[string]string, error) {
	cache.StoreFor(ctx, 0)
	values := make(map[string]string, len(keys))
	for _, key := range keys {
		values[key] = key
	}
	return values, nil
}

// keysOfTheOther returns keys that n asks another node for.
func keysOfTheOther(b *testing.B, n *node, count int) (keys []string) {
	b.Helper()
	for i := 0; len(keys) < count; i++ {
		key, asked := fmt.Sprint("key", i), n.Stats().Asked
		_, err := n.Fetch(b.Context(), key)
		require.NoError(b, err)
		if n.Stats().Asked > asked {
			keys = append(keys, key)
		}
	}
	return keys
}

// bare returns a call of net/http over HTTP/2 that brings value.
func bare(b *testing.B, value []byte, keys [][]byte) func(context.Context, int) error {
	b.Helper()
	server := httptest.NewUnstartedServer(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", strconv.Itoa(len(value)))
			_, _ = w.Write(value)
		}))
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP2(true)
	transport.Protocols.SetUnencryptedHTTP2(true)
	server.Config.Protocols = transport.Protocols
	if len(keys) > 0 {
		config, err := cluster.SharedKeyTLS(keys...)
		require.NoError(b, err)
		server.TLS, transport.TLSClientConfig, server.EnableHTTP2 = config, config.Clone(), true
		server.StartTLS()
	} else {
		server.Start()
	}
	b.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return func(ctx context.Context, _ int) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("key"))
		if err != nil {
			return err
		}
		answer, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		if answer.ProtoMajor != 2 {
			b.Errorf("it is %s", answer.Proto)
		}
		_, err = io.ReadFull(answer.Body, make([]byte, answer.ContentLength))
		return cmpErr(err, answer.Body.Close())
	}
}

// inTurns measures call and base in turns, each for some calls by this number of callers at a time.
// It reports medians of the turns, since other load of the machine affects some of them.
func inTurns(b *testing.B, callers int, base, call func(ctx context.Context, n int) error) {
	b.Helper()
	const turn = 8 // calls of each caller
	var times [2][]time.Duration
	measure := func(i int, f func(ctx context.Context, n int) error) {
		began := time.Now()
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for n := range turn {
					if err := f(b.Context(), caller*turn+n); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		times[i] = append(times[i], time.Since(began))
	}
	measure(0, base) // connections
	measure(1, call)
	times = [2][]time.Duration{}
	for b.Loop() {
		measure(0, base)
		measure(1, call)
	}
	var medians [2]float64
	for i, t := range times {
		slices.Sort(t)
		medians[i] = float64(t[len(t)/2])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(medians[0]/float64(turn*callers), "bare-ns")
	b.ReportMetric(medians[1]/medians[0], "x-bare")
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// BenchmarkHerd compares a key that no node has, fetched by 100 callers on each of three nodes,
// with 300 callers of one plain cache.
func BenchmarkHerd(b *testing.B) {
	type fetch = func(ctx context.Context, key string) (string, error)
	key := 0
	herd := func(fetches ...fetch) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error {
			key++
			name := fmt.Sprint("herd", key)
			var callers errgroup.Group
			for _, f := range fetches {
				for range 300 / len(fetches) {
					callers.Go(func() error {
						_, err := f(ctx, name)
						return err
					})
				}
			}
			return callers.Wait()
		}
	}
	for _, ownership := range ownerships {
		b.Run(ownership.String(), func(b *testing.B) {
			var own, from origin
			plain, err := cache.New(cache.Options[string, string]{})
			require.NoError(b, err)
			defer func() { require.NoError(b, plain.Close()) }()
			nodes := start(b, 3, &from, func(_ int, o *cluster.Options[string]) {
				o.Ownership, o.Slots = ownership, 16
			})
			load := own.Load // once: a method value allocates
			inTurns(b, 1,
				herd(func(ctx context.Context, key string) (string,
					error) {
					return plain.Fetch(ctx, key, load)
				}),
				herd(nodes[0].Fetch, nodes[1].Fetch, nodes[2].Fetch))
			require.Equal(b, own.total.Load(), from.total.Load(), "each key once")
		})
	}
}
