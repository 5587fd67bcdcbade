package cache_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

// Keys that were stored within a second and are read all the time are refreshed at an even
// rate: the first time, and later.
func TestRefreshRate(t *testing.T) {
	if raceEnabled && testing.Short() {
		t.Skip("it takes long; it also runs without the race detector")
	}
	keys := 10_000
	if raceEnabled {
		keys = 2000
	}
	for name, ttl := range map[string]time.Duration{"TTL": 100 * time.Second,
		"StoreFor": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const at = 0.8
				c := newCache(t, cache.Options[int, int]{Capacity: 2 * keys, TTL: 100 * time.Second,
					RefreshAt: at})
				var loads atomic.Int64
				//nolint:unparam // as the type of such functions wants
				load := func(ctx context.Context, key int) (int, error) {
					loads.Add(1)
					cache.StoreFor(ctx, ttl)
					return key, nil
				}
				fetch := func(key int) {
					if _, err := c.Fetch(t.Context(), key, load); err != nil {
						t.Error(err)
					}
				}
				for key := range keys {
					fetch(key)
					time.Sleep(time.Second / time.Duration(keys))
				}
				require.EqualValues(t, keys, loads.Load())
				point := time.Duration(at * float64(ttl))
				mean := point * 8 / 10        // of the time between two refreshes of a key
				bin, step := mean/8, mean/128 // so that the noise of a bin is 3 %
				if raceEnabled {
					bin, step = 4*bin, 4*step
				}
				const periods = 12
				var curve []float64
				begin := time.Now()
				for time.Since(begin) < point*4/10-time.Second-step { // nothing is due
					time.Sleep(step)
					for key := range keys {
						fetch(key)
					}
				}
				synctest.Wait()
				require.EqualValues(t, keys, loads.Load())
				begin = time.Now()
				before := loads.Load()
				for time.Since(begin) < periods*mean {
					for range bin / step {
						time.Sleep(step)
						for key := range keys {
							fetch(key)
						}
						synctest.Wait()
					}
					now := loads.Load()
					curve = append(curve, float64(now-before)/float64(keys)*float64(mean)/float64(bin))
					before = now
				}
				var line strings.Builder
				sum := 0.0
				for _, rate := range curve {
					fmt.Fprintf(&line, " %.2f", rate)
					sum += rate
				}
				average := sum / float64(len(curve))
				peak := slices.Max(curve)
				t.Logf("refreshes per %v, 1 is %d keys in %v:%s", bin, keys, mean, line.String())
				t.Logf("peak %.2f, mean %.2f, ratio %.2f", peak, average, peak/average)
				require.LessOrEqual(t, peak/average, 1.5)
				require.Greater(t, average, 0.9)
				require.Zero(t, c.Stats().LoadErrors)
				require.EqualValues(t, loads.Load(), c.Stats().Loads)
				require.EqualValues(t, keys, c.Stats().Misses, "no caller had to wait")
			})
		})
	}
}

// A load that takes twice the time after which an entry is due is still a refresh: callers never
// wait for it, if it ends before the TTL.
func TestRefreshThatTakesLong(t *testing.T) {
	for name, ttl := range map[string]time.Duration{"TTL": 30 * time.Second,
		"StoreFor": 12 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const at = 0.3
				c := newCache(t, cache.Options[string, int]{TTL: 30 * time.Second, RefreshAt: at})
				takes := time.Duration(2 * at * float64(ttl))
				load := func(ctx context.Context, _ string) (int, error) {
					time.Sleep(takes)
					cache.StoreFor(ctx, ttl)
					return int(c.Stats().Loads), ctx.Err()
				}
				_, err := c.Fetch(t.Context(), "k", load)
				require.NoError(t, err)
				begin := time.Now()
				for time.Since(begin) < 20*ttl {
					start := time.Now()
					_, err := c.Fetch(t.Context(), "k", load)
					require.NoError(t, err)
					require.Zero(t, time.Since(start))
					time.Sleep(ttl / 100)
				}
				s := c.Stats()
				require.EqualValues(t, 1, s.Misses)
				require.Zero(t, s.LoadErrors)
				// One comes after 18 to 30 % of the TTL and takes 60 %.
				require.GreaterOrEqual(t, s.Refreshes, uint64(21))
				require.LessOrEqual(t, s.Refreshes, uint64(26))
				time.Sleep(takes) // the last one may run
			})
		})
	}
}
