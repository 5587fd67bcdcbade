package cacheotel_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cacheotel"
	"github.com/snowfence/snowfence/cache/cacheprom"
	"github.com/snowfence/snowfence/courier"
)

// BenchmarkMiss loads a key over and over, by what looks at the cache.
func BenchmarkMiss(b *testing.B) {
	sampled := sdk.NewTracerProvider()
	unsampled := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample()))
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, bc := range []struct {
		name    string
		opts    []courier.Option
		scrapes bool
	}{
		{name: "nothing"},
		{name: "scraped", scrapes: true},
		{name: "logger", opts: []courier.Option{courier.WithLogger(logger)}},
		{name: "no-op", opts: []courier.Option{
			courier.WithTracer(cacheotel.NewTracer(noop.NewTracerProvider())),
		}},
		{name: "unsampled", opts: []courier.Option{
			courier.WithTracer(cacheotel.NewTracer(unsampled)),
		}},
		{name: "sampled", opts: []courier.Option{courier.WithTracer(cacheotel.NewTracer(sampled))}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			c, err := cache.New(cache.Options[int, int]{
				Capacity: 1000, Courier: append(bc.opts, courier.WithName("users")),
			})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if bc.scrapes {
				defer scrapeEvery(b, 100*time.Millisecond, c)()
			}
			fetch := func(context.Context, int) (int, error) { return 1, nil }
			ctx, key := b.Context(), 0
			b.ReportAllocs()
			for b.Loop() {
				key++
				if _, err := c.Fetch(ctx, key, fetch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// scrapeEvery gathers the metrics of c again and again, until the result is called.
func scrapeEvery(b *testing.B, pause time.Duration, c *cache.Cache[int, int]) (stop func()) {
	b.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(cacheprom.New("users", c))
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(pause):
			}
			if _, err := registry.Gather(); err != nil {
				b.Error(err)
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}
