package peer

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

var benchSizes = []struct {
	name string
	size int
}{{"100B", 100}, {"10KiB", 10 << 10}, {"1MiB", 1 << 20}}

// BenchmarkFetch compares a Fetch over loopback with bare calls of net/http of as many bytes, over
// HTTP/2, and over HTTP/1.1 as a Client uses it: without TLS, and with the TLS of a shared key.
func BenchmarkFetch(b *testing.B) {
	for _, s := range benchSizes {
		data := pattern(s.size)
		for _, secure := range []string{"plain", "keys"} {
			x, y := configA(), configB()
			var config *tls.Config
			if secure == "keys" {
				x.Identity = identity(b, sharedKey(1))
				y.Identity, config = x.Identity, x.Identity.Config()
			}
			for _, p := range bothProtocols {
				name := map[protocol]string{h2c: "bare-http2", http1: "bare-http1"}[p]
				b.Run(fmt.Sprintf("%s/%s/%s", s.name, secure, name), func(b *testing.B) {
					rt := transportOf(b, p, config)
					url := serveWith(b, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						_, _ = io.Copy(io.Discard, r.Body)
						w.Header().Set("Content-Length", strconv.Itoa(len(data)))
						_, _ = w.Write(data)
					}), config)
					run(b, s.size, func(ctx context.Context) error { return bare(ctx, rt, url) })
				})
			}
			b.Run(fmt.Sprintf("%s/%s/peer", s.name, secure), func(b *testing.B) {
				n := connect(b, http1, x, y,
					backend{fetch: func(context.Context, string, string, []byte) (Value, error) {
						return Value{Data: data, Keep: time.Minute}, nil
					}})
				run(b, s.size, func(ctx context.Context) error {
					_, err := n.fetch(ctx, "a key of some length")
					return err
				})
			})
		}
	}
}

func bare(ctx context.Context, rt http.RoundTripper, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url,
		strings.NewReader("a key of some length"))
	if err != nil {
		return err
	}
	res, err := rt.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.ReadFull(res.Body, make([]byte, res.ContentLength))
	return err
}

func run(b *testing.B, size int, f func(context.Context) error) {
	b.Helper()
	b.Run("one", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			if err := f(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := f(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
