package snowball

import (
	"context"
	"time"
)

// warm stores a value of each failing key where one of the runs is to give stale ones: in all
// runs, so that they do not differ in this.
func (v *service) warm() {
	if v.scenario.Cache.StaleFor == 0 {
		return
	}
	for _, key := range v.failing {
		v.cache.Set(key, v.origin.Value(key))
	}
}

// get fetches a key, and says whether its value is stale.
func (v *service) get(ctx context.Context, key uint64) answer {
	r, err := v.cache.FetchResult(ctx, key, v.fetch)
	return answer{r.Stale, err}
}

// works reports whether a fresh value of key can be had before ctx ends.
func (v *service) works(ctx context.Context, key uint64) bool {
	for ctx.Err() == nil {
		r, err := v.cache.FetchResult(ctx, key, v.origin.Load)
		if !r.Stale {
			return err == nil
		}
		time.Sleep(probeInterval)
	}
	return false
}

// probeInterval is how long a probe rests that got a stale value.
const probeInterval = 20 * time.Millisecond
