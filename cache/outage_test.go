package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// This is the outage of Altinn/dialogporten#4252: the function that loads a key hangs for a day and
// longer, callers keep coming, and StaleFor ends. There the key was dead until a restart, since the
// function held its lock. Here callers get the stale value at once while there is one, and then
// errors within bounds, and the key works again by itself. Except for three durations the options
// have their defaults.
func TestOutageOfADay(t *testing.T) {
	const (
		ttl    = 20 * time.Minute
		soft   = time.Second
		every  = time.Second
		within = 10 * time.Second // deadline of a caller
	)
	window := 24 * time.Hour
	if raceEnabled || testing.Short() {
		window = time.Hour
	}
	outage := window + time.Hour // from the end of the TTL
	for _, tt := range []struct {
		name string
		deaf bool // ignores its context, and hangs even after the origin works again
		most int  // functions at a time
	}{
		// Past the bound per key, one more is tried each minute.
		{"deaf", true, courier.DefaultMaxAbandonedPerKey + int(outage/time.Minute) + 5},
		{"heeding", false, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, cache.Options[string, int]{TTL: ttl, StaleFor: window, SoftTimeout: soft})
				c.Set("k", 1)
				time.Sleep(ttl)
				begin := time.Now()
				now := func() time.Duration { return time.Since(begin) }
				release := make(chan struct{})
				var mu sync.Mutex
				var loads, running, most int
				load := func(ctx context.Context, _ string) (int, error) {
					mu.Lock()
					loads++
					running++
					most = max(most, running)
					mu.Unlock()
					defer func() {
						mu.Lock()
						defer mu.Unlock()
						running--
					}()
					if now() >= outage {
						return 2, nil
					}
					heeds := ctx.Done()
					if tt.deaf {
						heeds = nil
					}
					select {
					case <-heeds:
					case <-release:
					}
					return 0, ctx.Err()
				}
				var waited, failed int
				var kinds = make(map[string]int)
				var served time.Duration
				call := func() {
					ctx, cancel := context.WithTimeout(t.Context(), within)
					defer cancel()
					came := now()
					r, err := c.FetchResult(ctx, "k", load)
					took := now() - came
					mu.Lock()
					defer mu.Unlock()
					switch {
					case came < window-soft: // later it may be gone when the load is late
						if err != nil || !r.Stale || r.Value != 1 || took > soft {
							t.Errorf("the caller at %v got %+v, %v after %v", came, r, err, took)
						}
						if took > 0 {
							waited++
						}
					case came < outage-within:
						if err == nil && came >= window || took > within {
							t.Errorf("the caller at %v got %+v after %v", came, r, took)
						}
						failed++
						kinds[kindOf(err)]++
					case err == nil && served == 0:
						served = now()
					}
				}
				var wg sync.WaitGroup
				for now() < outage+3*time.Minute {
					wg.Go(call)
					time.Sleep(every)
				}
				wg.Wait()
				t.Logf("%d loads, %d at a time", loads, most)
				t.Logf("%d callers of %d waited for the stale value", waited, window/every)
				t.Logf("%d failed later: %v; works %v after the origin does", failed, kinds, served-outage)
				// One per flight that does not begin beside a late one.
				assert.LessOrEqual(t, waited, 2+int(window/courier.DefaultTimeout))
				assert.LessOrEqual(t, most, tt.most)
				assert.Zero(t, kinds["other"])
				require.NotZero(t, served)
				// The rest between two tries of a key whose functions hang, or the flight's time.
				assert.LessOrEqual(t, served-outage, time.Minute+2*every)

				// From then on the key works as before.
				r, err := c.FetchResult(t.Context(), "k", mustNotLoad[string, int](t))
				require.NoError(t, err)
				require.Equal(t, 2, r.Value)
				close(release)
				synctest.Wait()
				require.Zero(t, c.Stats().Courier.Abandoned)
				require.Zero(t, c.Loads())
				c.Expire("k")
				r, err = c.FetchResult(t.Context(), "k", returns[string](3))
				require.NoError(t, err)
				require.Equal(t, cache.Result[int]{Value: 3}, r)
			})
		})
	}
}

func kindOf(err error) string {
	switch {
	case err == nil:
		return "none"
	case errors.Is(err, courier.ErrOverloaded):
		return "overloaded"
	case errors.Is(err, courier.ErrTimeout):
		return "time-out"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	}
	return "other"
}
