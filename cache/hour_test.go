package cache_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// levels holds the highest values of a part of a run, by name.
type levels map[string]int

func (l levels) note(values map[string]int) {
	for name, v := range values {
		l[name] = max(l[name], v)
	}
}

// An hour of traffic for keys that come and go leaves nothing behind: what the cache holds, the
// room of its tables, the heap and the goroutines are no larger in the last quarter than in the
// second one, when all bounds have been reached.
func TestAnHourOfTraffic(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	slower := 1 // so that a second of the machine does
	switch {
	case raceEnabled:
		slower = 20
	case testing.Short():
		slower = 5
	}
	pause := time.Duration(slower) * 50 * time.Millisecond // of each worker, between operations
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{
			Capacity: cache.DefaultCapacity / slower,
			TTL:      time.Minute, TTLJitter: 0.1, RefreshAt: 0.5, StaleFor: 20 * time.Second,
			NotFoundTTL: 20 * time.Second, Tags: func(key, _ int) []string { return tagsOfHour(key) },
			Courier: []courier.Option{courier.WithBackoff(time.Second, 20*time.Second)},
		})
		const run, workers = time.Hour, 4
		began := time.Now()
		var wg sync.WaitGroup
		for i := range workers {
			h := &hour{cache: c, began: began, pause: pause / workers,
				random: rand.New(rand.NewPCG(seed, uint64(i)))} //nolint:gosec // no secret
			wg.Go(func() {
				for time.Since(began) < run {
					h.operation(t)
					time.Sleep(pause)
				}
			})
		}
		second, last := levels{}, levels{}
		for at := range 60 {
			time.Sleep(run / 60)
			into := last
			switch {
			case at >= 15 && at < 30:
				into = second
			case at < 45:
				continue
			}
			into.note(c.Tables())
			if at%3 == 0 {
				into.note(map[string]int{"heap, KiB": int(heap() >> 10)}) //nolint:gosec // small
			}
			into.note(map[string]int{"goroutines": runtime.NumGoroutine()})
		}
		wg.Wait()
		stats := c.Stats()
		t.Logf("%+v", stats)
		for _, name := range slices.Sorted(maps.Keys(last)) {
			before, now := second[name], last[name]
			t.Logf("%-14s %7d, later %7d", name, before, now)
			require.LessOrEqual(t, now, before+before/10+allowance(name), name)
		}
		require.Equal(t, cache.DefaultCapacity/slower, second["entries"], "the cache was full")
		if slower > 1 {
			return
		}
		// Everything took place.
		for name, n := range map[string]uint64{
			"Hits": stats.Hits, "Loads": stats.Loads, "LoadErrors": stats.LoadErrors, "Stale": stats.Stale,
			"NotFound": stats.NotFound, "NotFoundHits": stats.NotFoundHits, "Refreshes": stats.Refreshes,
			"Expired": stats.Expired, "Evictions": stats.Evictions, "BackedOff": stats.Courier.BackedOff,
		} {
			require.Positive(t, n, name)
		}
	})
}

// allowance returns how much more than a tenth a value may grow by chance.
func allowance(name string) int {
	switch name {
	case "heap, KiB":
		return 512
	case "index room", "expiry room", "stale room", "tag room", "entries", "stale entries", "tags":
		return 400
	}
	return 60
}

// tagsOfHour returns the tags of a key: one of a group that comes and goes with its keys, and one
// that stays.
func tagsOfHour(key int) []string {
	return []string{"group " + strconv.Itoa(key/50), "kind " + strconv.Itoa(key%10)}
}

// An hour makes the traffic of one worker.
type hour struct {
	cache  *cache.Cache[int, int]
	random *rand.Rand
	began  time.Time
	pause  time.Duration // between operations of all workers
}

// newest returns the newest key at this moment: one more for each operation.
func (h *hour) newest() int { return int(time.Since(h.began)/h.pause) + 1 }

// key returns one of the last 3,000 keys, of which the newest are the most popular.
func (h *hour) key() int {
	x := h.random.Float64()
	return h.newest() - int(3000*x*x*x)
}

// load takes a while. A part of the keys has no record, another part fails for most of the time.
func (h *hour) load(ctx context.Context, key int) (int, error) {
	time.Sleep(5 * time.Millisecond)
	switch {
	case key%7 == 0:
		return 0, cache.ErrNotFound
	case key%5 == 0 && time.Now().Second()%20 != 0:
		return 0, errLoad
	case key%11 == 0:
		cache.StoreFor(ctx, cache.Forever) // until it is evicted
	}
	return key, nil
}

// loadMany does what load does.
func (h *hour) loadMany(ctx context.Context, keys []int) (map[int]int, error) {
	values := make(map[int]int)
	failed := make(map[int]error)
	for _, key := range keys {
		if v, err := h.load(ctx, key); err == nil {
			values[key] = v
		} else {
			failed[key] = err
		}
	}
	return values, &cache.ManyError[int]{ByKey: failed}
}

func (h *hour) operation(t *testing.T) {
	ctx := t.Context()
	key := h.key()
	switch h.random.IntN(20) {
	case 0, 1:
		h.cache.Set(h.newest(), key)
	case 2:
		h.cache.SetTTL(h.newest(), key, time.Duration(h.random.Int64N(int64(2*time.Minute))))
	case 3, 4, 5:
		h.cache.SetTTL(h.newest(), key, cache.Forever)
	case 6:
		h.cache.Delete(key)
	case 7:
		h.cache.Expire(key)
	case 8:
		if h.random.IntN(10) == 0 {
			h.cache.InvalidateTag(tagsOfHour(key)[0])
		}
	case 9:
		keys := []int{key, key, h.key(), h.key(), h.key()}
		_, _ = h.cache.FetchMany(ctx, keys, h.loadMany)
	case 10: // a caller that leaves
		limited, cancel := context.WithTimeout(ctx, 4*time.Millisecond)
		_, _ = h.cache.Fetch(limited, key, h.load)
		cancel()
	default:
		_, _ = h.cache.Fetch(ctx, key, h.load)
	}
}
