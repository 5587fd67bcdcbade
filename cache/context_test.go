package cache_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

type ignore struct{}

func (ignore) Errorf(string, ...any) {}

// A load's context may be printed, logged and compared while the load and others run: nothing that
// changes is reachable from it. The race detector checks this.
func TestContextCanBeLookedAt(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{TTL: time.Hour, RefreshAt: 1e-12})
	logger := slog.New(slog.NewJSONHandler(io.Discard, nil))
	texts := slog.New(slog.NewTextHandler(io.Discard, nil))
	look := func(ctx, other context.Context) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%s"} {
			_ = fmt.Sprintf(verb, ctx)
		}
		_ = fmt.Sprint([]any{ctx}, struct{ c any }{ctx})
		logger.Info("message", "ctx", ctx)
		texts.Info("message", "ctx", ctx)
		reflect.DeepEqual(ctx, other)
		assert.Equal(ignore{}, ctx, other) // prints both with spew
	}
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			var before context.Context // of the previous load
			for range 5 {
				_, err := c.Fetch(t.Context(), k, func(ctx context.Context, _ int) (int, error) {
					var looking sync.WaitGroup
					defer looking.Wait()
					for _, other := range []context.Context{ctx, before} {
						looking.Go(func() { look(ctx, other) })
					}
					before = ctx //nolint:fatcontext // for the next load to print
					for i := range 100 {
						cache.StoreFor(ctx, time.Duration(-i))
					}
					return 1, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestContextIsNamed(t *testing.T) {
	c := newCache(t, cache.Options[string, int]{})
	_, err := c.Fetch(t.Context(), "user:1", func(ctx context.Context, _ string) (int, error) {
		const name = "courier.Flight(user:1).Load"
		require.Equal(t, name, fmt.Sprint(ctx))
		require.Equal(t, name, fmt.Sprintf("%#v", ctx))
		require.Contains(t, fmt.Sprint(context.WithValue(ctx, ignore{}, 1)), name+".WithValue(")
		return 1, nil
	})
	require.NoError(t, err)
}
