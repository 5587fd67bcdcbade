package cache_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
)

var secondSeed = flag.Uint64("second.seed", 0, "let TestSecondLevelModel use this seed alone")

// TestSecondLevelModel lets two caches share a second level that fails at random. What was loaded
// before a delete is never given to a Fetch of the same cache that begins after the delete, nor to
// one of the other cache that begins after the delete was flushed.
func TestSecondLevelModel(t *testing.T) {
	seeds := 200
	if testing.Short() || raceEnabled {
		seeds = 30
	}
	if *secondSeed != 0 {
		seeds = 1
	}
	for range seeds {
		seed := cmp.Or(*secondSeed, rand.Uint64())
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			m := newSecondModel(t, seed)
			for range 300 {
				m.step()
			}
			m.end()
		})
	}
}

const secondModelKeys = 5

type secondModel struct {
	t       *testing.T
	rand    *rand.Rand
	storage *cachetest.Storage
	caches  []*cache.Cache[int, int]
	present [secondModelKeys]atomic.Int64 // the version that the origin has
	least   [2][secondModelKeys]int       // the oldest version that a Fetch may give
	unsent  [2]bool                       // a Set may not have reached the second level
	fetches sync.WaitGroup
	away    atomic.Bool // the origin fails
}

func newSecondModel(t *testing.T, seed uint64) *secondModel {
	t.Helper()
	m := &secondModel{
		t: t, rand: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // no secret
		storage: cachetest.NewStorage(t),
	}
	o := cache.Options[int, int]{
		TTL: time.Second, TTLJitter: 0.1, Capacity: 1 + m.rand.IntN(6),
		Tags:         func(key int, _ int) []string { return []string{"all", tagOf(key)} },
		StaleFor:     []time.Duration{0, 10 * time.Second}[m.rand.IntN(2)],
		RefreshAt:    []float64{0, 0.5}[m.rand.IntN(2)],
		StaleRetry:   0,
		NotFoundTTL:  []time.Duration{0, time.Second}[m.rand.IntN(2)],
		SecondLevel:  cache.SecondLevel[int, int]{MaxPending: []int{0, 3}[m.rand.IntN(2)]},
		ShedAbove:    0,
		NoCompaction: false,
	}
	for range 2 {
		o.SecondLevel.Storage = m.storage.Notifier()
		m.caches = append(m.caches, newCache(t, o))
	}
	return m
}

func tagOf(key int) string { return fmt.Sprint("tag ", key%2) }

func (m *secondModel) load(_ context.Context, key int) (int, error) {
	v := int(m.present[key].Load())
	time.Sleep(time.Duration(key) * 30 * time.Millisecond)
	switch {
	case m.away.Load():
		return 0, errLoad
	case v%7 == 6:
		return 0, cache.ErrNotFound
	}
	return v, nil
}

func (m *secondModel) loadMany(ctx context.Context, keys []int) (map[int]int, error) {
	values := make(map[int]int)
	for _, key := range keys {
		switch v, err := m.load(ctx, key); {
		case err == nil:
			values[key] = v
		case !errors.Is(err, cache.ErrNotFound):
			return nil, err
		}
	}
	return values, nil
}

func (m *secondModel) step() {
	of := m.rand.IntN(2)
	c, key := m.caches[of], m.rand.IntN(secondModelKeys)
	switch n := m.rand.IntN(100); {
	case n < 40:
		m.fetch(of, key)
	case n < 50:
		m.fetchMany(of)
	case n < 60:
		m.present[key].Add(1)
	case n < 72:
		m.present[key].Add(1)
		m.remove(of, func(k int) bool { return k == key }, func() {
			switch m.rand.IntN(3) {
			case 0:
				c.Delete(key)
			case 1:
				c.Update(key, func(v int, _ bool) (int, cache.Op) { return v, cache.Remove })
			default:
				c.SetTTL(key, 0, -1)
			}
		})
	case n < 76:
		for k := range secondModelKeys {
			m.present[k].Add(1)
		}
		m.remove(of, func(k int) bool { return tagOf(k) == tagOf(key) },
			func() { c.InvalidateTag(tagOf(key)) })
	case n < 78:
		for k := range secondModelKeys {
			m.present[k].Add(1)
		}
		m.remove(of, func(int) bool { return true }, c.Clear)
	case n < 82:
		c.Set(key, int(m.present[key].Load()))
		m.unsent[of] = !m.flush(c)
	case n < 90:
		m.storage.SetFault([]cachetest.StorageFault{
			{}, {}, {}, {Latency: 20 * time.Millisecond}, {Latency: 3 * time.Second},
			{Err: errLoad}, {Err: errLoad, AfterEffect: true}, {Hangs: true},
			{Latency: 80 * time.Millisecond},
		}[m.rand.IntN(9)])
		m.storage.Release()
	case n < 91:
		m.storage.Lose()
	case n < 92:
		m.storage.LoseLog()
	case n < 94:
		m.away.Store(!m.away.Load())
	default:
		time.Sleep(time.Duration(m.rand.Int64N(int64(2 * time.Second))))
	}
	time.Sleep(time.Duration(m.rand.Int64N(int64(20 * time.Millisecond))))
}

// flush reports whether c's changes have reached the second level, and the notices the other cache.
func (m *secondModel) flush(c *cache.Cache[int, int]) bool {
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Duration(m.rand.Int64N(int64(time.Second))))
	defer cancel()
	if c.Flush(ctx) != nil {
		return false
	}
	synctest.Wait()
	return true
}

// remove calls f, which deletes the keys for which is returns true.
func (m *secondModel) remove(of int, is func(key int) bool, f func()) {
	var now [secondModelKeys]int
	for key := range now {
		now[key] = int(m.present[key].Load())
	}
	f()
	forbid := func(of int) {
		for key := range now {
			if is(key) {
				m.least[of][key] = now[key]
			}
		}
	}
	if !m.unsent[1-of] { // it might reach the second level after the delete
		forbid(of)
	}
	if m.rand.IntN(2) == 0 && m.flush(m.caches[of]) && !m.unsent[0] && !m.unsent[1] {
		forbid(1 - of)
	}
}

func (m *secondModel) fetch(of, key int) {
	least := m.least[of][key]
	m.fetches.Go(func() {
		v, err := m.caches[of].Fetch(m.t.Context(), key, m.load)
		switch {
		case errors.Is(err, cache.ErrNotFound):
		case err != nil:
			assert.ErrorIs(m.t, err, errLoad)
		default:
			assert.GreaterOrEqual(m.t, v, least, "cache %d, key %d", of, key)
		}
	})
}

func (m *secondModel) fetchMany(of int) {
	least := m.least[of]
	m.fetches.Go(func() {
		found, err := m.caches[of].FetchMany(m.t.Context(), []int{0, 1, 2, 3, 4}, m.loadMany)
		if err != nil {
			assert.ErrorIs(m.t, err, errLoad)
		}
		for key, v := range found {
			assert.GreaterOrEqual(m.t, v, least[key], "cache %d, key %d, of many", of, key)
		}
	})
}

// end checks that both caches agree with the origin once all faults are gone and all TTLs over.
func (m *secondModel) end() {
	m.fetches.Wait()
	m.storage.SetFault(cachetest.StorageFault{})
	m.storage.Release()
	m.away.Store(false)
	time.Sleep(20 * time.Second)
	for of, c := range m.caches {
		require.NoError(m.t, c.Flush(m.t.Context()))
		for key := range secondModelKeys {
			v, err := c.Fetch(m.t.Context(), key, m.load)
			if want := int(m.present[key].Load()); want%7 != 6 {
				require.NoError(m.t, err)
				require.Equal(m.t, want, v, "cache %d, key %d", of, key)
			}
		}
	}
}
