package cachefile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachefile"
)

// Several Saves to one path, beside writers of the cache and Loads of the file: each file that is
// seen is whole, and has no value of another key.
func TestConcurrentSaves(t *testing.T) {
	path := tempPath(t)
	c := newCache(t, cache.Options[string, string]{Capacity: 500, TTL: time.Hour})
	c.Set("0", valueOf("0"))
	save(t, c, path, texts{})
	var busy, saves sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		busy.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				key := strconv.Itoa(rand.IntN(2000))
				switch rand.IntN(10) {
				case 0:
					c.Delete(key)
				case 1:
					c.Get(key)
				default:
					c.Set(key, valueOf(key))
				}
			}
		})
	}
	for range 3 {
		saves.Go(func() {
			for range 10 {
				_, err := cachefile.Save(t.Context(), c, path, texts{})
				if err != nil {
					t.Error(err)
				}
			}
		})
		saves.Go(func() {
			for range 10 {
				to, err := cache.New(cache.Options[string, string]{})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := cachefile.Load(t.Context(), to, path, texts{}); err != nil {
					t.Error(err)
				}
				requireRight(t, to)
				if err := to.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	saves.Wait()
	close(done)
	busy.Wait()
	require.Len(t, names(t, filepath.Dir(path)), 1)
}

// hookCodec calls a function while an entry is decoded, so that a test can do something in the
// middle of a Load.
type hookCodec struct {
	cache.Codec[string]
	decoded func(v string)
}

func (h hookCodec) Decode(data []byte) (string, error) {
	v, err := h.Codec.Decode(data)
	h.decoded(v)
	return v, err
}

type plainCodec struct{}

func (plainCodec) Name() string                       { return "string" }
func (plainCodec) Encode(v string) ([]byte, error)    { return []byte(v), nil }
func (plainCodec) Decode(data []byte) (string, error) { return string(data), nil }

// What happens to a key while Load runs is newer than the file, whether before the entry is read
// or after.
func TestLoadBesideTraffic(t *testing.T) {
	path := tempPath(t)
	options := cache.Options[string, string]{
		NotFoundTTL: time.Hour,
		Tags:        func(key, _ string) []string { return []string{"tag of " + key} },
	}
	from := newCache(t, options)
	keys := []string{
		"untouched", "set", "set and deleted", "deleted", "loaded", "expired", "invalidated", "missing",
	}
	for _, key := range keys {
		from.Set(key, "old")
	}
	save(t, from, path, texts{})
	returns := func(v string, err error) func(context.Context, string) (string, error) {
		return func(context.Context, string) (string, error) { return v, err }
	}
	for when := range keys {
		to := newCache(t, options)
		to.Set("set", "new")
		n := 0
		change := func(string) {
			n++
			if n != when+1 {
				return
			}
			to.Set("set and deleted", "new")
			to.Delete("set and deleted")
			to.Delete("deleted")
			to.Expire("expired")
			to.InvalidateTag("tag of invalidated")
			v, err := to.Fetch(t.Context(), "loaded", returns("new", nil))
			require.NoError(t, err)
			require.Equal(t, "new", v)
			_, err = to.Fetch(t.Context(), "missing", returns("", cache.ErrNotFound))
			require.ErrorIs(t, err, cache.ErrNotFound)
		}
		loaded := load(t, to, path, texts{Value: hookCodec{plainCodec{}, change}})
		require.Equal(t, 1, loaded.Entries)
		require.Equal(t, len(keys)-1, loaded.Known)
		require.Equal(t, map[string]string{"untouched": "old", "set": "new", "loaded": "new"},
			contents(to), "changed after %d", when)
	}

	// Clear ends all.
	to := newCache(t, options)
	loaded := load(t, to, path, texts{Value: hookCodec{plainCodec{}, func(string) { to.Clear() }}})
	require.Zero(t, loaded.Entries)
	require.Zero(t, to.Len())

	// What was known before Load began counts, too.
	to = newCache(t, options)
	_, err := to.Fetch(t.Context(), "missing", returns("", cache.ErrNotFound))
	require.Error(t, err)
	require.Equal(t, len(keys)-1, load(t, to, path, texts{}).Entries)
	require.False(t, to.Contains("missing"))
	// Afterwards a deleted key may be loaded again: nothing of the Load is left.
	to.Delete("untouched")
	require.Equal(t, 1, load(t, to, path, texts{}).Entries)
}

// The result of a load that was under way replaces what Load has stored.
func TestLoadUnderWay(t *testing.T) {
	path := tempPath(t)
	from := newCache(t, cache.Options[string, string]{})
	from.Set("k", "old")
	save(t, from, path, texts{})
	to := newCache(t, cache.Options[string, string]{})
	began, goOn := make(chan struct{}), make(chan struct{})
	var fetch sync.WaitGroup
	fetch.Go(func() {
		v, err := to.Fetch(t.Context(), "k", func(context.Context, string) (string, error) {
			close(began)
			<-goOn
			return "new", nil
		})
		if v != "new" || err != nil {
			t.Error(v, err)
		}
	})
	<-began
	require.Equal(t, 1, load(t, to, path, texts{}).Entries)
	v, _ := to.Get("k")
	require.Equal(t, "old", v)
	close(goOn)
	fetch.Wait()
	v, _ = to.Get("k")
	require.Equal(t, "new", v)
}

// Load, writers and deleters at once: no key has its value of the file after it was deleted.
func TestLoadNeverRevives(t *testing.T) {
	path := tempPath(t)
	from := newCache(t, cache.Options[string, string]{})
	const n = 5000
	for i := range n {
		from.Set(strconv.Itoa(i), "old")
	}
	save(t, from, path, texts{})
	to := newCache(t, cache.Options[string, string]{})
	var loads, writes sync.WaitGroup
	begin := make(chan struct{}) // both loads are under way
	var reading atomic.Int32
	for range 2 { // the second one shares what is recorded of the changes
		var once sync.Once
		value := hookCodec{plainCodec{}, func(string) {
			once.Do(func() {
				if reading.Add(1) == 2 {
					close(begin)
				}
				<-begin
			})
		}}
		loads.Go(func() {
			if _, err := cachefile.Load(t.Context(), to, path, texts{Value: value}); err != nil {
				t.Error(err)
			}
		})
	}
	want := make([]map[string]string, 2)
	for w := range want {
		want[w] = make(map[string]string)
		writes.Go(func() {
			<-begin
			for i := w; i < n; i += 4 {
				key := strconv.Itoa(i)
				to.Set(key, "new")
				want[w][key] = "new"
				if i%3 == 0 {
					to.Delete(key)
					want[w][key] = ""
				}
			}
		})
	}
	loads.Wait()
	writes.Wait()
	maps.Copy(want[0], want[1])
	for key, v := range want[0] {
		have, ok := to.Get(key)
		require.Equal(t, v, have, key)
		require.Equal(t, v != "", ok, key)
	}
}

// Keep saves every interval and at the end, and reports what failed.
func TestKeepConcurrently(t *testing.T) {
	path := tempPath(t)
	c := newCache(t, cache.Options[int, int]{})
	ctx, end := context.WithCancel(t.Context())
	saves := make(chan error)
	ended := make(chan error)
	go func() {
		ended <- cachefile.Keep(ctx, c, path, time.Millisecond, cachefile.Options[int, int]{
			OnSave: func(_ cachefile.Saved, err error) { saves <- err },
		})
	}()
	require.NoError(t, <-saves)
	c.Set(1, 1)
	end()
	for running := true; running; {
		select {
		case err := <-saves: // the last one is whole
			require.True(t, err == nil || errors.Is(err, context.Canceled), err)
		case err := <-ended:
			require.NoError(t, err)
			running = false
		}
	}
	to := newCache(t, cache.Options[int, int]{})
	load(t, to, path, cachefile.Options[int, int]{})
	require.Equal(t, map[int]int{1: 1}, contents(to))
}

func TestKeep(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		c := newCache(t, cache.Options[string, string]{})
		var log []string
		begin := time.Now()
		ctx, end := context.WithTimeout(t.Context(), 35*time.Minute)
		defer end()
		folder := filepath.Dir(path)
		gone := folder + ".gone"
		onSave := func(_ cachefile.Saved, err error) {
			log = append(log, fmt.Sprint(time.Since(begin), err == nil))
			if len(log) == 1 { // the second one fails
				require.NoError(t, os.Rename(folder, gone))
			} else if len(log) == 2 {
				require.NoError(t, os.Rename(gone, folder))
			}
		}
		err := cachefile.Keep(ctx, c, path, 10*time.Minute, texts{OnSave: onSave})
		require.NoError(t, err)
		require.Equal(t, []string{"10m0s true", "20m0s false", "30m0s true", "35m0s true"}, log)

		require.NoError(t, c.Close())
		require.ErrorIs(t, cachefile.Keep(ctx, c, path, time.Minute, texts{}), cache.ErrClosed)
		var wrong *cachefile.OptionError
		require.ErrorAs(t, cachefile.Keep(ctx, c, path, 0, texts{}), &wrong)
		require.Equal(t, "every", wrong.Field)
	})
}
