package peer

import (
	"context"
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

// BenchmarkFetch compares a Fetch over loopback, without and with a shared key, with a bare call of net/http over the
// same transport.
func BenchmarkFetch(b *testing.B) {
	for _, s := range benchSizes {
		data := pattern(s.size)
		b.Run(s.name+"/bare", func(b *testing.B) {
			rt := transport(b, h2c)
			url := serveOn(b, h2c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Length", strconv.Itoa(len(data)))
				_, _ = w.Write(data)
			}))
			run(b, s.size, func(ctx context.Context) error { return bare(ctx, rt, url) })
		})
		for _, keys := range []int{0, 1} {
			b.Run(fmt.Sprintf("%s/peer%d", s.name, keys), func(b *testing.B) {
				x, y := configA(), configB()
				x.Keys = [][]byte{sharedKey(1)}[:keys]
				y.Keys = x.Keys
				n := connect(b, h2c, x, y, backend{fetch: func(context.Context, string, string, []byte) (Value, error) {
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
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("a key of some length"))
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
	b.Run("sequential", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			if err := f(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.SetBytes(int64(size))
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

func BenchmarkSign(b *testing.B) {
	g := newSigner(sharedKey(1))
	h := &head{cache: "things", node: "a", from: runA, to: runB, silence: time.Second}
	for _, s := range benchSizes {
		b.Run(s.name, func(b *testing.B) {
			body := pattern(s.size)
			b.SetBytes(int64(s.size))
			b.ReportAllocs()
			for b.Loop() {
				g.request(fetchEndpoint, h, stamp{1, 2}, body)
			}
		})
	}
}

func BenchmarkWindow(b *testing.B) {
	r := newReplays(runB)
	for n := uint64(1); b.Loop(); n++ {
		if v, _ := r.take(runA, stamp{runB, n}); v != fresh {
			b.Fatal(v)
		}
	}
}
