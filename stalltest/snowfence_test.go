package stalltest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/stalltest"
)

// cacheSubject is Snowfence's cache with its default options, and what a case sets up.
func cacheSubject() stalltest.Subject {
	return stalltest.Subject{
		Name: "cache", Refreshes: true, ServesStale: true, Notifies: true,
		New: func(s stalltest.Setup) (stalltest.Cache, error) {
			o := cache.Options[string, string]{Capacity: s.Capacity, TTL: s.TTL, StaleFor: s.StaleFor}
			if s.RefreshAfter > 0 {
				o.RefreshAt = float64(s.RefreshAfter) / float64(s.TTL)
			}
			if s.StaleFor > 0 {
				o.SoftTimeout = 200 * time.Millisecond
			}
			if s.OnEviction != nil {
				o.OnEviction = func(k, v string, _ cache.Reason) { s.OnEviction(k, v) }
			}
			c, err := cache.New(o)
			if err != nil {
				return stalltest.Cache{}, err
			}
			others, err := cache.New(cache.Options[any, string]{})
			if err != nil {
				return stalltest.Cache{}, err
			}
			return stalltest.Cache{
				Fetch: func(ctx context.Context, key string) (string, error) {
					return c.Fetch(ctx, key, s.Load)
				},
				FetchMany: func(ctx context.Context, keys []string) (map[string]string, error) {
					return c.FetchMany(ctx, keys, s.LoadMany)
				},
				FetchAny: func(ctx context.Context, key any) (string, error) {
					return others.Fetch(ctx, key, func(ctx context.Context, key any) (string, error) {
						return s.Load(ctx, fmt.Sprint(key))
					})
				},
				Set:    c.Set,
				Delete: func(key string) { c.Delete(key) },
				Go:     courier.Go,
				Close:  func() error { return errors.Join(c.Close(), others.Close()) },
			}, nil
		},
	}
}

// courierSubject is a courier with its default options. It stores nothing.
func courierSubject() stalltest.Subject {
	return stalltest.Subject{
		Name: "courier",
		New: func(s stalltest.Setup) (stalltest.Cache, error) {
			c, others := courier.New[string, string](), courier.New[any, string]()
			return stalltest.Cache{
				Fetch: func(ctx context.Context, key string) (string, error) {
					v, _, err := c.Do(ctx, key, func(ctx context.Context) (string, error) {
						return s.Load(ctx, key)
					})
					return v, err
				},
				FetchMany: func(ctx context.Context, keys []string) (map[string]string, error) {
					return doMany(ctx, c, keys, s.LoadMany)
				},
				FetchAny: func(ctx context.Context, key any) (string, error) {
					v, _, err := others.Do(ctx, key, func(ctx context.Context) (string, error) {
						return s.Load(ctx, fmt.Sprint(key))
					})
					return v, err
				},
				Delete: c.Forget,
				Go:     courier.Go,
				Close: func() error {
					return errors.Join(c.Shutdown(context.Background()), others.Shutdown(context.Background()))
				},
			}, nil
		},
	}
}

// doMany returns the values and the errors of a batch.
func doMany(
	ctx context.Context, c *courier.Courier[string, string], keys []string,
	load func(context.Context, []string) (map[string]string, error),
) (map[string]string, error) {
	outcomes := c.DoMany(ctx, keys,
		func(ctx context.Context, missing []string) ([]courier.Outcome[string], error) {
			values, err := load(ctx, missing)
			if err != nil {
				return nil, err
			}
			found := make([]courier.Outcome[string], len(missing))
			for i, k := range missing {
				if found[i].Value = values[k]; values[k] == "" {
					found[i].Err = errors.New("not found")
				}
			}
			return found, nil
		})
	values := map[string]string{}
	var errs []error
	for i, o := range outcomes {
		if o.Err == nil {
			values[keys[i]] = o.Value
		}
		errs = append(errs, o.Err)
	}
	return values, errors.Join(errs...)
}

// Time is that of synctest, so no result depends on the machine.
func TestSnowfence(t *testing.T) {
	for _, s := range []stalltest.Subject{cacheSubject(), courierSubject()} {
		for _, c := range stalltest.Cases() {
			t.Run(s.Name+"/"+c.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, err := stalltest.Observe(s, c.Name)
					require.NoError(t, err)
					assert.NotEqual(t, stalltest.Fail, r.Verdict, r.String())
				})
			})
		}
	}
}
