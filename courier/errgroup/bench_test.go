package errgroup_test

import (
	"context"
	"testing"

	xsync "golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/courier/errgroup"
)

// A group is what both packages have.
type group interface {
	Go(f func() error)
	SetLimit(n int)
	Wait() error
}

// The functions in these benchmarks do nothing, so that only the groups are measured.

// BenchmarkGroup makes a group, calls eight functions and waits for them.
func BenchmarkGroup(b *testing.B) {
	eight := func(g group, limit int) error {
		if limit > 0 {
			g.SetLimit(limit)
		}
		for range 8 {
			g.Go(func() error { return nil })
		}
		return g.Wait()
	}
	for _, limit := range []struct {
		name string
		n    int
	}{{"unlimited", 0}, {"limit=2", 2}} {
		b.Run("courier/"+limit.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g, _ := errgroup.WithContext(b.Context())
				if err := eight(g, limit.n); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("xsync/"+limit.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g, _ := xsync.WithContext(b.Context())
				if err := eight(g, limit.n); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("in a flight/courier/"+limit.name, func(b *testing.B) {
			var c courier.Courier[int, int]
			b.ReportAllocs()
			_, _, err := c.Do(b.Context(), 0, func(ctx context.Context) (int, error) {
				for b.Loop() {
					g, _ := errgroup.WithContext(ctx)
					if err := eight(g, limit.n); err != nil {
						return 0, err
					}
				}
				return 0, nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkGo calls one function after the other.
func BenchmarkGo(b *testing.B) {
	one := func(b *testing.B, g group) {
		b.Helper()
		b.ReportAllocs()
		for b.Loop() {
			g.Go(func() error { return nil })
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("courier", func(b *testing.B) { one(b, new(errgroup.Group)) })
	b.Run("xsync", func(b *testing.B) { one(b, new(xsync.Group)) })
}
