package cachefile_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachefile"
)

type texts = cachefile.Options[string, string]

// inBubble calls f in a synctest bubble with the path of a file.
func inBubble(t *testing.T, f func(t *testing.T, path string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, tempPath(t)) })
}

func TestTTLGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		from := newCache(t, cache.Options[string, string]{})
		from.SetTTL("hour", "v", time.Hour)
		from.SetTTL("minute", "v", time.Minute)
		from.Set("forever", "v")
		time.Sleep(10 * time.Second)
		save(t, from, path, texts{})
		time.Sleep(time.Minute) // the time of a deploy

		to := newCache(t, cache.Options[string, string]{})
		time.Sleep(7 * time.Second)
		loaded := load(t, to, path, texts{})
		require.Equal(t, 2, loaded.Entries)
		require.Equal(t, 1, loaded.Gone)
		require.Equal(t, time.Now().Add(-67*time.Second).UnixNano(), loaded.SavedAt.UnixNano())
		_, ttl, ok := to.Peek("hour")
		require.True(t, ok)
		require.Equal(t, time.Hour-77*time.Second, ttl)
		_, ttl, _ = to.Peek("forever")
		require.Equal(t, cache.Forever, ttl)
		require.False(t, to.Contains("minute"))
		time.Sleep(time.Hour - 77*time.Second)
		require.False(t, to.Contains("hour"))
		require.True(t, to.Contains("forever"))
		time.Sleep(2 * time.Second)
		require.Equal(t, 1, to.Len(), "it is reclaimed like any other")
	})
}

var errDown = errors.New("the origin is down")

func down(context.Context, string) (string, error) { return "", errDown }

// The stale values and their ages outlive the process: an outage needs them.
func TestStaleAndAge(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		o := cache.Options[string, string]{TTL: time.Minute, StaleFor: time.Hour}
		from := newCache(t, o)
		from.Set("stale", "old")
		time.Sleep(10 * time.Minute)
		from.Set("fresh", "new")
		time.Sleep(20 * time.Second)
		save(t, from, path, texts{})
		time.Sleep(time.Minute)

		to := newCache(t, o)
		require.Equal(t, 2, load(t, to, path, texts{}).Entries)
		for _, key := range []string{"fresh", "stale"} {
			r, err := to.FetchResult(t.Context(), key, down)
			require.NoError(t, err)
			require.True(t, r.Stale)
			require.ErrorIs(t, r.Err, errDown)
			age := 80 * time.Second
			if key == "stale" {
				age += 10 * time.Minute
			}
			require.Equal(t, age, r.Age, key)
		}
		_, ttl, ok := to.Peek("stale")
		require.True(t, ok)
		require.Equal(t, -(10*time.Minute + 20*time.Second), ttl)

		// StaleFor ends when it would have ended in the process before.
		time.Sleep(time.Hour - 10*time.Minute - 20*time.Second)
		_, _, ok = to.Peek("stale")
		require.False(t, ok)
		_, _, ok = to.Peek("fresh")
		require.True(t, ok)
		time.Sleep(2 * time.Second)
		require.Equal(t, 1, to.Len(), "it is reclaimed like any other")
	})
}

// Stale entries are behind all others in the file, as they are evicted before all others.
func TestStaleComesLast(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		o := cache.Options[string, string]{StaleFor: time.Hour}
		from := newCache(t, o)
		from.Set("old", "v")
		from.Set("newest", "v")
		from.Expire("newest")
		save(t, from, path, texts{})
		to := newCache(t, o)
		load(t, to, path, texts{MaxEntries: 1})
		require.Equal(t, map[string]string{"old": "v"}, contents(to))
	})
}

// Without StaleFor there is nothing to do with an expired entry.
func TestStaleWithoutStaleFor(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		from := newCache(t, cache.Options[string, string]{TTL: time.Minute, StaleFor: time.Hour})
		from.Set("k", "v")
		time.Sleep(2 * time.Minute)
		save(t, from, path, texts{})
		to := newCache(t, cache.Options[string, string]{TTL: time.Minute})
		loaded := load(t, to, path, texts{})
		require.Zero(t, loaded.Entries)
		require.Equal(t, 1, loaded.Gone)
	})
}

// If the wall clock went back since the save, no time counts as passed. If it went far ahead, all
// that has a TTL is expired.
func TestWallClock(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		o := cache.Options[string, string]{StaleFor: time.Hour}
		from := newCache(t, o)
		from.SetTTL("k", "v", time.Minute)
		from.Set("forever", "v")
		time.Sleep(10 * time.Second)
		save(t, from, path, texts{})
		for _, test := range []struct {
			off, ttl time.Duration
			ok       bool
		}{
			{-time.Nanosecond, 50 * time.Second, true},
			{-24 * time.Hour, 50 * time.Second, true},
			{-200 * 365 * 24 * time.Hour, 50 * time.Second, true},
			{20 * time.Second, 30 * time.Second, true},
			{time.Minute, -10 * time.Second, true},
			{2 * time.Hour, 0, false},
			{200 * 365 * 24 * time.Hour, 0, false},
		} {
			to := newCache(t, o)
			now := func() time.Time { return time.Now().Round(0).Add(test.off) }
			load(t, to, path, cachefile.WithNow(texts{}, now))
			_, ttl, ok := to.Peek("k")
			require.Equal(t, test.ok, ok, test.off)
			require.Equal(t, test.ttl, ttl, test.off)
			require.True(t, to.Contains("forever"), test.off)
		}
	})
}

// A program whose TTL became shorter does not keep the old one's values for longer than that. One
// with the same TTL keeps the TTLs that single entries had been given.
func TestShorterTTL(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		for _, test := range []struct{ before, after, long, want time.Duration }{
			{before: 0, after: time.Minute, long: cache.Forever, want: time.Minute},
			{before: time.Hour, after: time.Minute, long: time.Hour, want: time.Minute},
			{before: time.Minute, after: time.Minute, long: time.Hour, want: time.Hour},
			{before: time.Minute, after: time.Hour, long: time.Minute, want: time.Minute},
			{before: time.Minute, after: 0, long: time.Hour, want: time.Hour},
		} {
			from := newCache(t, cache.Options[string, string]{TTL: test.before})
			from.SetTTL("k", "v", test.long)
			save(t, from, path, texts{})
			to := newCache(t, cache.Options[string, string]{TTL: test.after})
			load(t, to, path, texts{})
			_, ttl, ok := to.Peek("k")
			require.True(t, ok)
			require.Equal(t, test.want, ttl, "%v", test)
		}
	})
}

// Entries that were loaded from a file are refreshed before their TTL ends, like others.
func TestRefreshAfterLoad(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		o := cache.Options[string, string]{TTL: time.Minute, RefreshAt: 0.5}
		from := newCache(t, o)
		from.Set("k", "old")
		save(t, from, path, texts{})
		to := newCache(t, o)
		load(t, to, path, texts{})
		time.Sleep(45 * time.Second)
		fresh := func(context.Context, string) (string, error) { return "new", nil }
		v, err := to.Fetch(t.Context(), "k", fresh)
		require.NoError(t, err)
		require.Equal(t, "old", v)
		synctest.Wait()
		v, _ = to.Get("k")
		require.Equal(t, "new", v)
	})
}

// Tags are made anew by Options.Tags.
func TestTags(t *testing.T) {
	path := tempPath(t)
	tags := func(_, v string) []string { return []string{v[:1]} }
	o := cache.Options[string, string]{Tags: tags}
	from := newCache(t, o)
	from.Set("1", "apple")
	from.Set("2", "banana")
	save(t, from, path, texts{})
	to := newCache(t, o)
	load(t, to, path, texts{})
	to.InvalidateTag("a")
	require.Equal(t, map[string]string{"2": "banana"}, contents(to))
}
