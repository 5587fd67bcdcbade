package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/snowfence/snowfence/courier"
	snowfencegroup "github.com/snowfence/snowfence/courier/singleflight"
	"github.com/snowfence/snowfence/stalltest"
	"golang.org/x/sync/singleflight"
	resenje "resenje.org/singleflight"
)

func newDo(s stalltest.Setup) (stalltest.Cache, error) {
	var g singleflight.Group
	return stalltest.Cache{
		Fetch: func(ctx context.Context, key string) (string, error) {
			v, err, _ := g.Do(key, func() (any, error) { return s.Load(ctx, key) })
			return text(v), err
		},
		Delete: g.Forget,
	}, nil
}

func newDoChan(s stalltest.Setup) (stalltest.Cache, error) {
	var g singleflight.Group
	return stalltest.Cache{
		Fetch: func(ctx context.Context, key string) (string, error) {
			select {
			case r := <-g.DoChan(key, func() (any, error) { return s.Load(ctx, key) }):
				return text(r.Val), r.Err
			case <-ctx.Done():
				return "", ctx.Err()
			}
		},
		Delete: g.Forget,
	}, nil
}

func newResenje(s stalltest.Setup) (stalltest.Cache, error) {
	var g resenje.Group[string, string]
	var others resenje.Group[any, string]
	return stalltest.Cache{
		Fetch: func(ctx context.Context, key string) (string, error) {
			v, _, err := g.Do(ctx, key, loading(s, key))
			return v, err
		},
		FetchAny: func(ctx context.Context, key any) (string, error) {
			v, _, err := others.Do(ctx, key, loading(s, fmt.Sprint(key)))
			return v, err
		},
		Delete: g.Forget,
	}, nil
}

func newSnowfenceDo(s stalltest.Setup) (stalltest.Cache, error) {
	var g snowfencegroup.Group
	return stalltest.Cache{
		Fetch: func(ctx context.Context, key string) (string, error) {
			v, err, _ := g.DoContext(ctx, key, func(ctx context.Context) (any, error) {
				return s.Load(ctx, key)
			})
			return text(v), err
		},
		Delete: g.Forget,
		Go:     courier.Go,
		Close:  func() error { return g.Courier().Shutdown(context.Background()) },
	}, nil
}

func newCourier(s stalltest.Setup) (stalltest.Cache, error) {
	var c courier.Courier[string, string]
	var others courier.Courier[any, string]
	return stalltest.Cache{
		Fetch: func(ctx context.Context, key string) (string, error) {
			v, _, err := c.Do(ctx, key, loading(s, key))
			return v, err
		},
		FetchMany: func(ctx context.Context, keys []string) (map[string]string, error) {
			return doMany(ctx, &c, keys, s)
		},
		FetchAny: func(ctx context.Context, key any) (string, error) {
			v, _, err := others.Do(ctx, key, loading(s, fmt.Sprint(key)))
			return v, err
		},
		Delete: c.Forget,
		Go:     courier.Go,
		Close: func() error {
			return errors.Join(c.Shutdown(context.Background()), others.Shutdown(context.Background()))
		},
	}, nil
}

var errNotFound = errors.New("not found")

// doMany turns a list of outcomes into a map.
func doMany(
	ctx context.Context, c *courier.Courier[string, string], keys []string, s stalltest.Setup,
) (map[string]string, error) {
	outcomes := c.DoMany(ctx, keys,
		func(ctx context.Context, missing []string) ([]courier.Outcome[string], error) {
			loaded, err := s.LoadMany(ctx, missing)
			all := make([]courier.Outcome[string], len(missing))
			for i, k := range missing {
				v, ok := loaded[k]
				if all[i].Value = v; !ok {
					all[i].Err = errNotFound
				}
			}
			return all, err
		})
	values := make(map[string]string, len(keys))
	var errs []error
	for i, o := range outcomes {
		if errs = append(errs, o.Err); o.Err == nil {
			values[keys[i]] = o.Value
		}
	}
	return values, errors.Join(errs...)
}
