package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
)

// withStorage returns options with s as the second level.
func withStorage(s cache.Storage, o cache.Options[string, string]) cache.Options[string, string] {
	o.SecondLevel.Storage = s
	return o
}

// A loader counts the loads of its fetch functions.
type loader struct{ n atomic.Int64 }

// of returns a fetch function that returns v.
func (l *loader) of(v string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) {
		l.n.Add(1)
		return v, nil
	}
}

// fetch fetches a key, and fails the test if that fails.
func fetch(
	tb testing.TB, c *cache.Cache[string, string], key string,
	load func(context.Context, string) (string, error),
) string {
	tb.Helper()
	v, err := c.Fetch(tb.Context(), key, load)
	require.NoError(tb, err)
	return v
}

// TestDeploy makes a new cache on the storage of an old one: no fresh key is loaded again.
func TestDeploy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Minute})
		old := newCache(t, o)
		var l loader
		const keys = 1000
		for i := range keys {
			fetch(t, old, strconv.Itoa(i), l.of(fmt.Sprint("value ", i)))
		}
		require.NoError(t, old.Close())
		require.EqualValues(t, keys, l.n.Load())
		require.Len(t, s.Records(), keys)

		time.Sleep(59 * time.Second)
		c := newCache(t, o)
		for i := range keys {
			require.Equal(t, fmt.Sprint("value ", i), fetch(t, c, strconv.Itoa(i), l.of("new")))
		}
		require.EqualValues(t, keys, l.n.Load(), "loaded again")
		require.EqualValues(t, keys, c.Stats().SecondHits)
		require.Zero(t, c.Stats().Loads)

		// They have the rest of their TTL.
		time.Sleep(time.Second)
		require.Equal(t, "new", fetch(t, c, "0", l.of("new")))
		require.EqualValues(t, keys+1, l.n.Load())
	})
}

// TestStorageFaults: no fault of the storage is an error of a caller, nor takes longer than the
// origin and the soft time-out.
func TestStorageFaults(t *testing.T) {
	const origin = 20 * time.Millisecond
	for name, fault := range map[string]cachetest.StorageFault{
		"error":   {Err: errors.New("away")},
		"slow":    {Latency: 10 * time.Second},
		"hangs":   {Hangs: true},
		"hanging": {Hangs: true, AfterEffect: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewStorage(t)
				c := newCache(t, withStorage(s, cache.Options[string, string]{TTL: time.Minute}))
				s.SetFault(fault)
				for i := range 200 {
					began := time.Now()
					v, err := c.Fetch(t.Context(), strconv.Itoa(i),
						func(context.Context, string) (string, error) {
							time.Sleep(origin)
							return "v", nil
						})
					require.NoError(t, err)
					require.Equal(t, "v", v)
					require.LessOrEqual(t, time.Since(began), origin+cache.DefaultStorageSoftTimeout)
				}
				s.SetFault(cachetest.StorageFault{})
				s.Release()
				time.Sleep(2 * time.Second)
				fetch(t, c, "a", returns[string]("v"))
				fetch(t, c, "b", returns[string]("v"))
				require.NoError(t, c.Flush(t.Context()))
				require.Contains(t, s.Records(), "b", "it is used again")
			})
		})
	}
}

// TestSecondLevelServesStale: if the origin fails, a new cache gives the value of an old one.
func TestSecondLevelServesStale(t *testing.T) {
	for name, soft := range map[string]time.Duration{"fails": 0, "late": 10 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewStorage(t)
				o := withStorage(s, cache.Options[string, string]{
					TTL: time.Minute, StaleFor: time.Hour, SoftTimeout: soft,
				})
				old := newCache(t, o)
				fetch(t, old, "a", returns[string]("v"))
				fetch(t, old, "b", returns[string]("v"))
				require.NoError(t, old.Close())
				time.Sleep(2 * time.Minute)

				c := newCache(t, o)
				var loads atomic.Int64
				load := func(context.Context, string) (string, error) {
					loads.Add(1)
					if soft > 0 {
						time.Sleep(time.Second)
					}
					return "", errLoad
				}
				began := time.Now()
				r, err := c.FetchResult(t.Context(), "a", load)
				require.NoError(t, err)
				require.Equal(t, "v", r.Value)
				require.True(t, r.Stale)
				require.Equal(t, 2*time.Minute, r.Age-time.Since(began))
				require.Equal(t, soft, time.Since(began), "the soft time-out counts")
				require.EqualValues(t, 1, loads.Load())
				m, err := c.FetchMany(t.Context(), []string{"a", "b", "c"},
					func(context.Context, []string) (map[string]string, error) { return nil, errLoad })
				require.Equal(t, map[string]string{"a": "v", "b": "v"}, m)
				require.ErrorIs(t, err, errLoad)
				require.EqualValues(t, 2, c.Stats().SecondStale)
				time.Sleep(2 * time.Hour)
				_, err = c.Fetch(t.Context(), "b", fails[string, string](errLoad))
				require.ErrorIs(t, err, errLoad, "past StaleFor")
			})
		})
	}
}

// TestLateRecordAfterFailure: a record that comes after the soft time-out still serves if the
// origin has failed by then.
func TestLateRecordAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Minute, StaleFor: time.Hour})
		old := newCache(t, o)
		fetch(t, old, "stale", returns[string]("v"))
		require.NoError(t, old.Flush(t.Context()))
		time.Sleep(2 * time.Minute)
		fetch(t, old, "fresh", returns[string]("v"))
		require.NoError(t, old.Close())
		c := newCache(t, o)
		s.SetFault(cachetest.StorageFault{Latency: 100 * time.Millisecond})
		slow := func(context.Context, string) (string, error) {
			time.Sleep(200 * time.Millisecond)
			return "", errLoad
		}
		for _, key := range []string{"fresh", "stale"} {
			r, err := c.FetchResult(t.Context(), key, slow)
			require.NoError(t, err, key)
			require.Equal(t, "v", r.Value)
			require.Equal(t, key == "stale", r.Stale)
		}
		m, err := c.FetchMany(t.Context(), []string{"stale", "none"},
			func(context.Context, []string) (map[string]string, error) {
				time.Sleep(200 * time.Millisecond)
				return nil, errLoad
			})
		require.Equal(t, map[string]string{"stale": "v"}, m)
		require.ErrorIs(t, err, errLoad)
	})
}

// TestDeleteDuringLoad: what was loaded before a delete is neither stored in the second level nor
// found there.
func TestDeleteDuringLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Minute})
		c, other := newCache(t, o), newCache(t, o)
		go func() { // of another process, which does not hear of the delete
			_, _ = other.Fetch(t.Context(), "a", func(context.Context, string) (string, error) {
				time.Sleep(2 * time.Second)
				return "old", nil
			})
		}()
		go func() {
			_, _ = c.Fetch(t.Context(), "a", func(context.Context, string) (string, error) {
				time.Sleep(2 * time.Second)
				return "old", nil
			})
		}()
		time.Sleep(time.Second)
		c.Delete("a")
		require.NoError(t, c.Flush(t.Context()))
		time.Sleep(2 * time.Second)
		require.NoError(t, other.Flush(t.Context()))
		require.NoError(t, c.Flush(t.Context()))
		require.NotContains(t, s.Records(), "a")
		require.Equal(t, "new", fetch(t, c, "a", returns[string]("new")))
	})
}

// TestDeleteWhileAway: a delete that the second level could not be asked for is made up for, and
// what is stored is not believed until then.
func TestDeleteWhileAway(t *testing.T) {
	for name, remove := range map[string]func(*cache.Cache[string, string]){
		"Delete":       func(c *cache.Cache[string, string]) { c.Delete("a") },
		"GetAndDelete": func(c *cache.Cache[string, string]) { c.GetAndDelete("a") },
		"SetTTL":       func(c *cache.Cache[string, string]) { c.SetTTL("a", "", -1) },
		"Update": func(c *cache.Cache[string, string]) {
			c.Update("a", func(string, bool) (string, cache.Op) { return "", cache.Remove })
		},
		"Expire":        func(c *cache.Cache[string, string]) { c.Expire("a") },
		"Touch":         func(c *cache.Cache[string, string]) { c.Touch("a", -1) },
		"InvalidateTag": func(c *cache.Cache[string, string]) { c.InvalidateTag("tag of a") },
		"Clear":         func(c *cache.Cache[string, string]) { c.Clear() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewStorage(t)
				o := withStorage(s, cache.Options[string, string]{
					TTL:  time.Hour,
					Tags: func(key, _ string) []string { return []string{"tag of " + key} },
				})
				c := newCache(t, o)
				fetch(t, c, "a", returns[string]("old"))
				require.NoError(t, c.Flush(t.Context()))
				s.SetFault(cachetest.StorageFault{Err: errors.New("away")})
				remove(c)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := c.Flush(ctx)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.EqualError(t, err, "cache: 1 pending for the second level: "+
					"context deadline exceeded; its last error: away")

				// Reads work again before the delete is tried again.
				s.SetFault(cachetest.StorageFault{})
				require.Equal(t, "new", fetch(t, c, "a", returns[string]("new")))
				require.NoError(t, c.Flush(t.Context()))
				again := newCache(t, o)
				require.NotEqual(t, "old", fetch(t, again, "a", returns[string]("new")))
			})
		})
	}
}

// TestInvalidateTagOfOthers: another process does not believe a record whose tag was invalidated,
// nor does a load that began before store one that is believed.
func TestInvalidateTagOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{
			TTL:  time.Hour,
			Tags: func(string, string) []string { return []string{"tag"} },
		})
		c, slow := newCache(t, o), newCache(t, o)
		fetch(t, c, "a", returns[string]("old"))
		require.NoError(t, c.Flush(t.Context()))
		go func() {
			_, _ = slow.Fetch(t.Context(), "b", func(context.Context, string) (string, error) {
				time.Sleep(time.Second)
				return "old", nil
			})
		}()
		time.Sleep(time.Second / 2)
		c.InvalidateTag("tag")
		require.NoError(t, c.Flush(t.Context()))
		time.Sleep(time.Second)
		require.NoError(t, slow.Flush(t.Context()))
		require.Contains(t, s.Records(), "b")
		again := newCache(t, o)
		for _, key := range []string{"a", "b"} {
			require.Equal(t, "new", fetch(t, again, key, returns[string]("new")), key)
		}
		require.EqualValues(t, 2, again.Stats().SecondRejected)
		require.NoError(t, again.Flush(t.Context()))
		third := newCache(t, o)
		require.Equal(t, "new", fetch(t, third, "a", mustNotLoad[string, string](t)), "believed anew")
	})
}

// TestLostLog: a storage that has lost its log, with its records or without, is not believed, and
// used again after everything in it was invalidated.
func TestLostLog(t *testing.T) {
	for name, lose := range map[string]func(*cachetest.Storage){
		"log": (*cachetest.Storage).LoseLog, "all": (*cachetest.Storage).Lose,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewStorage(t)
				o := withStorage(s, cache.Options[string, string]{TTL: time.Hour})
				c, other := newCache(t, o), newCache(t, o)
				fetch(t, other, "a", returns[string]("old"))
				fetch(t, other, "b", returns[string]("old"))
				require.NoError(t, other.Flush(t.Context()))
				lose(s)
				require.Equal(t, "new", fetch(t, c, "a", returns[string]("new")))
				require.NoError(t, c.Flush(t.Context()))
				require.Equal(t, "new", fetch(t, c, "b", returns[string]("new")))
				require.NoError(t, c.Flush(t.Context()))
				again := newCache(t, o)
				require.Equal(t, "new", fetch(t, again, "b", mustNotLoad[string, string](t)))
			})
		})
	}
}

// A laggingStorage is a copy that lacks the invalidation of a tag.
type laggingStorage struct {
	cache.Storage
	tag string
}

func (s laggingStorage) Read(
	ctx context.Context, keys []string, since uint64,
) (cache.Reading, error) {
	r, err := s.Storage.Read(ctx, keys, since)
	r.Log = slices.DeleteFunc(r.Log, func(i cache.Invalidation) bool { return i.Tag == s.tag })
	return r, err
}

// TestLostEndOfLog: a copy that lacks the newest invalidation has lost others, too, perhaps. It is
// not believed, and used again after everything in it was invalidated.
func TestLostEndOfLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		server := &swappedStorage{now: s}
		o := withStorage(server, cache.Options[string, string]{TTL: time.Hour})
		o.Tags = func(string, string) []string { return nil }
		c := newCache(t, o)
		fetch(t, c, "a", returns[string]("old"))
		c.InvalidateTag("tag")
		require.NoError(t, c.Flush(t.Context()))
		fetch(t, c, "b", returns[string]("v")) // it knows the invalidation now
		server.swap(laggingStorage{s, "tag"})
		c.Delete("b")
		require.NoError(t, c.Flush(t.Context()))
		require.Equal(t, "new", fetch(t, c, "b", returns[string]("new")))
		require.NoError(t, c.Flush(t.Context()))
		require.Equal(t, 2, s.Counts().Invalidates)
		again := newCache(t, o)
		require.Equal(t, "new", fetch(t, again, "a", returns[string]("new")))
		require.NoError(t, again.Flush(t.Context()))
		third := newCache(t, o)
		fetch(t, third, "a", mustNotLoad[string, string](t))
	})
}

// TestLogBegunByTag: where a log that was lost begins with the tag that was its newest before, the
// invalidations that nobody had read are not forgotten.
func TestLogBegunByTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Hour})
		o.Tags = func(key, _ string) []string { return []string{key} }
		c, other := newCache(t, o), newCache(t, o)
		c.InvalidateTag("b")
		require.NoError(t, c.Flush(t.Context()))
		fetch(t, c, "b", returns[string]("v")) // it knows that invalidation
		fetch(t, other, "a", returns[string]("old"))
		require.NoError(t, other.Flush(t.Context()))
		c.InvalidateTag("a")
		require.NoError(t, c.Flush(t.Context()))
		s.LoseLog()
		c.InvalidateTag("b")
		require.NoError(t, c.Flush(t.Context()))
		require.Equal(t, "new", fetch(t, c, "a", returns[string]("new")))
	})
}

// TestForeignRecords: what cannot be read is a miss.
func TestForeignRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Hour})
		o.SecondLevel.MaxRecord = 100
		c := newCache(t, o)
		fetch(t, c, "good", returns[string]("v"))
		fetch(t, c, "large", returns[string](string(make([]byte, 100))))
		require.NoError(t, c.Flush(t.Context()))
		good := s.Records()["good"]
		require.NotEmpty(t, good)
		require.NotContains(t, s.Records(), "large")
		version := append([]byte(nil), good...)
		version[3]++
		for key, data := range map[string][]byte{
			"empty": {}, "garbage": []byte("garbage"), "version": version, "cut": good[:len(good)-1],
			"moved": good, "huge": make([]byte, 101),
		} {
			s.Put(key, data)
			rejected := c.Stats().SecondRejected
			require.Equal(t, "new", fetch(t, c, key, returns[string]("new")), key)
			require.Equal(t, rejected+1, c.Stats().SecondRejected, key)
			require.NoError(t, c.Flush(t.Context()))
		}
		again := newCache(t, o)
		require.Equal(t, "v", fetch(t, again, "good", mustNotLoad[string, string](t)))
		require.Equal(t, "new", fetch(t, again, "moved", mustNotLoad[string, string](t)), "mended")
	})
}

// TestSecondLevelMany: a FetchMany reads all its keys at once, and loads those that are missing.
func TestSecondLevelMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Hour, NotFoundTTL: time.Hour})
		old := newCache(t, o)
		load := func(_ context.Context, keys []string) (map[string]string, error) {
			m := make(map[string]string)
			for _, key := range keys {
				if key != "none" {
					m[key] = "v" + key
				}
			}
			return m, nil
		}
		_, err := old.FetchMany(t.Context(), []string{"1", "2", "none"}, load)
		require.NoError(t, err)
		require.NoError(t, old.Close())
		c := newCache(t, o)
		before := s.Counts()
		var loaded []string
		m, err := c.FetchMany(t.Context(), []string{"1", "2", "3", "none"},
			func(ctx context.Context, keys []string) (map[string]string, error) {
				loaded = keys
				return load(ctx, keys)
			})
		require.NoError(t, err)
		require.Equal(t, map[string]string{"1": "v1", "2": "v2", "3": "v3"}, m)
		require.Equal(t, []string{"3"}, loaded)
		after := s.Counts()
		require.Equal(t, 1, after.Reads-before.Reads)
		require.Equal(t, 4, after.ReadKeys-before.ReadKeys)
		_, err = c.Fetch(t.Context(), "none", mustNotLoad[string, string](t))
		require.ErrorIs(t, err, cache.ErrNotFound)
		require.Equal(t, 1, s.Counts().Reads-before.Reads, "remembered")
	})
}

// TestSetReachesSecondLevel: the values that the user sets replace what is stored.
func TestSetReachesSecondLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Hour})
		c := newCache(t, o)
		fetch(t, c, "set", returns[string]("old"))
		require.NoError(t, c.Flush(t.Context()))
		c.Set("set", "new")
		c.SetIfAbsent("absent", "new")
		c.Update("update", func(string, bool) (string, cache.Op) { return "new", cache.Store })
		require.NoError(t, c.Flush(t.Context()))
		again := newCache(t, o)
		for _, key := range []string{"set", "absent", "update"} {
			require.Equal(t, "new", fetch(t, again, key, mustNotLoad[string, string](t)), key)
		}
		// A value that could not be written is deleted instead.
		s.SetFault(cachetest.StorageFault{Err: errors.New("away")})
		c.Set("set", "newest")
		time.Sleep(time.Minute)
		s.SetFault(cachetest.StorageFault{})
		require.NoError(t, c.Flush(t.Context()))
		require.NotContains(t, s.Records(), "set")
	})
}

// TestPendingServes: what waits to be written is newer than what is stored.
func TestPendingServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Hour, Capacity: 1})
		c := newCache(t, o)
		fetch(t, c, "a", returns[string]("old"))
		require.NoError(t, c.Flush(t.Context()))
		s.SetFault(cachetest.StorageFault{Latency: time.Second / 2})
		c.Set("a", "new")
		c.Set("b", "v") // evicts a
		require.Equal(t, "new", fetch(t, c, "a", mustNotLoad[string, string](t)))
		require.Equal(t, 1, s.Counts().ReadKeys)
		s.SetFault(cachetest.StorageFault{})
		require.NoError(t, c.Flush(t.Context()))
	})
}

// TestRefreshTakesNewer: a refresh takes what another process has loaded, and Refresh does not.
func TestRefreshTakesNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Hour, RefreshAt: 0.5})
		c, other := newCache(t, o), newCache(t, o)
		fetch(t, c, "a", returns[string]("1"))
		require.NoError(t, c.Flush(t.Context()))
		time.Sleep(31 * time.Minute)
		v, err := other.Refresh(t.Context(), "a", returns[string]("2"))
		require.NoError(t, err)
		require.Equal(t, "2", v)
		require.NoError(t, other.Flush(t.Context()))
		require.Equal(t, "1", fetch(t, c, "a", mustNotLoad[string, string](t)))
		synctest.Wait()
		require.Equal(t, "2", fetch(t, c, "a", mustNotLoad[string, string](t)))
		synctest.Wait()

		// Its own record is no reason to go on without a refresh.
		time.Sleep(31 * time.Minute)
		fetch(t, c, "a", returns[string]("3"))
		synctest.Wait()
		require.Equal(t, "3", fetch(t, c, "a", mustNotLoad[string, string](t)))
	})
}

// TestClocksDiffer: neither the clock of the storage nor those of the processes matter.
func TestClocksDiffer(t *testing.T) {
	for _, ahead := range []time.Duration{-20 * 365 * 24 * time.Hour, 20 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := cachetest.NewStorage(t)
			s.SetAhead(ahead)
			o := withStorage(s, cache.Options[string, string]{TTL: time.Hour, StaleFor: time.Hour})
			old := newCache(t, o)
			fetch(t, old, "a", returns[string]("v"))
			require.NoError(t, old.Close())
			time.Sleep(time.Hour - time.Second)
			c := newCache(t, o)
			fetch(t, c, "a", mustNotLoad[string, string](t))
			_, rest, ok := c.Peek("a")
			require.True(t, ok)
			require.Equal(t, time.Second, rest)
		})
	}
}

// TestNotices: what one process deletes leaves the others.
func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := cache.Options[string, string]{
			TTL: time.Hour, StaleFor: time.Hour,
			Tags: func(key, _ string) []string { return []string{"tag of " + key} },
		}
		c, other := newCache(t, withStorage(s.Notifier(), o)), newCache(t, withStorage(s.Notifier(), o))
		both := func() {
			for _, key := range []string{"a", "b"} {
				fetch(t, c, key, returns[string]("old"))
				fetch(t, other, key, returns[string]("old"))
			}
			require.NoError(t, c.Flush(t.Context()))
			require.NoError(t, other.Flush(t.Context()))
		}
		settle := func() {
			require.NoError(t, c.Flush(t.Context()))
			synctest.Wait()
		}
		both()
		c.Delete("a")
		settle()
		require.False(t, other.Contains("a"))
		require.True(t, other.Contains("b"))
		both()
		c.InvalidateTag("tag of b")
		settle()
		require.True(t, other.Contains("a"))
		require.False(t, other.Contains("b"))
		both()
		c.Clear()
		settle()
		require.Zero(t, other.Len())
		both()
		deletes := s.Counts().Deletes
		s.Notify(cache.Notice{All: true})
		synctest.Wait()
		require.False(t, other.Contains("a"))
		r, err := other.FetchResult(t.Context(), "a", mustNotLoad[string, string](t))
		require.NoError(t, err)
		require.Equal(t, "old", r.Value, "the second level still has it")
		require.Equal(t, deletes, s.Counts().Deletes, "notices are not sent back")
	})
}

// TestTooManyDeletes: deletes beyond the bound become one of everything.
func TestTooManyDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Hour})
		o.SecondLevel.MaxPending = 10
		c := newCache(t, o)
		fetch(t, c, "stored", returns[string]("old"))
		require.NoError(t, c.Flush(t.Context()))
		s.SetFault(cachetest.StorageFault{Err: errors.New("away")})
		for i := range 1000 {
			c.Delete(strconv.Itoa(i))
		}
		require.LessOrEqual(t, c.Stats().SecondPending, 161)
		s.SetFault(cachetest.StorageFault{})
		require.NoError(t, c.Flush(t.Context()))
		require.Zero(t, c.Stats().SecondPending)
		again := newCache(t, o)
		fetch(t, again, "stored", returns[string]("anew"))
		require.EqualValues(t, 1, again.Stats().SecondRejected)
	})
}

// TestCloseWaitsForDeletes: Close sends what is pending, and does not wait for ever.
func TestCloseWaitsForDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		c := newCache(t, withStorage(s, cache.Options[string, string]{TTL: time.Hour}))
		s.SetFault(cachetest.StorageFault{Latency: 100 * time.Millisecond})
		c.Delete("warm too")
		require.NoError(t, c.Close())
		require.NotContains(t, s.Records(), "warm too")

		c, err := cache.New(withStorage(s, cache.Options[string, string]{}))
		require.NoError(t, err)
		s.SetFault(cachetest.StorageFault{Hangs: true})
		c.Delete("a")
		began := time.Now()
		require.ErrorIs(t, c.Close(), context.DeadlineExceeded)
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
	})
}

func TestSecondLevelOptions(t *testing.T) {
	s := cachetest.NewStorage(t)
	type second = cache.SecondLevel[string, string]
	name := func(k string) string { return k }
	for field, l := range map[string]second{
		"Storage":     {MaxRecord: 1},
		"SoftTimeout": {Storage: s, SoftTimeout: -1},
		"Timeout":     {Storage: s, Timeout: -1},
		"MaxRecord":   {Storage: s, MaxRecord: -1},
		"MaxPending":  {Storage: s, MaxPending: -1},
		"ParseKey":    {Storage: s.Notifier(), Key: name},
	} {
		_, err := cache.New(cache.Options[string, string]{SecondLevel: l})
		var bad *cache.OptionError
		require.ErrorAs(t, err, &bad, field)
		require.Equal(t, "SecondLevel."+field, bad.Field)
	}
	_, err := cache.New(cache.Options[string, string]{
		SecondLevel: second{Storage: (*cachetest.Storage)(nil)},
	})
	require.EqualError(t, err, "cache: Options.SecondLevel.Storage: a nil *cachetest.Storage: "+
		"want a Storage, or nil for none")
	_, err = cache.New(cache.Options[bigKey, int]{
		SecondLevel: cache.SecondLevel[bigKey, int]{Storage: s},
	})
	var bad *cache.OptionError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, "SecondLevel.Key", bad.Field)
	type document struct { // as in ExamplePrevious: another type would have to be compiled
		text    string
		version int
	}
	_, _ = document{}.text, document{}.version
	_, err = cache.New(cache.Options[string, document]{
		SecondLevel: cache.SecondLevel[string, document]{Storage: s},
	})
	require.EqualError(t, err, "cache: Options.SecondLevel.Codec: json: want another one: "+
		"cache_test.document has no exported field, and JSON has no others")
}
