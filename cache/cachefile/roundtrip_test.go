package cachefile_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachefile"
)

type point struct{ X, Y int }

type user struct {
	Name  string
	Roles []string
	Born  time.Time
}

// roundTrip saves all and loads it into another cache.
func roundTrip[K comparable, V any](t *testing.T, all map[K]V) {
	t.Helper()
	path := tempPath(t)
	from := newCache(t, cache.Options[K, V]{})
	for k, v := range all {
		from.Set(k, v)
	}
	save(t, from, path, cachefile.Options[K, V]{})
	to := newCache(t, cache.Options[K, V]{})
	loaded := load(t, to, path, cachefile.Options[K, V]{})
	require.Equal(t, len(all), loaded.Entries)
	require.Equal(t, all, contents(to))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, loaded.Bytes, info.Size())
}

func TestKindsOfKeysAndValues(t *testing.T) {
	t.Run("strings", func(t *testing.T) {
		roundTrip(t, map[string]string{
			"": "", "a": "b", "\xff\x00": "\xfe", "long": strings.Repeat("x", 300_000),
		})
	})
	t.Run("bytes", func(t *testing.T) {
		roundTrip(t, map[string][]byte{
			"nil": nil, "empty": {}, "zero": {0}, "zeros": {0, 0}, "a": {1, 0},
			"large": make([]byte, 200_000),
		})
	})
	t.Run("structs", func(t *testing.T) {
		born := time.Date(2000, 1, 2, 3, 4, 5, 6, time.UTC)
		roundTrip(t, map[point]user{{1, 2}: {"Ada", []string{"admin"}, born}, {}: {}})
	})
	t.Run("numbers", func(t *testing.T) { roundTrip(t, map[int]int{-1: 15, 1 << 30: 0}) })
	t.Run("pointers", func(t *testing.T) { roundTrip(t, map[int]*point{1: {1, 2}, 2: nil}) })
	t.Run("none", func(t *testing.T) { roundTrip(t, map[int]int{}) })
	t.Run("many blocks", func(t *testing.T) {
		all := make(map[int]string)
		for i := range 9000 {
			all[i] = strings.Repeat("v", i%100)
		}
		roundTrip(t, all)
	})
}

// A file that is not there is the normal case of a first start, and can be told from others.
func TestNoFile(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{})
	loaded, err := cachefile.Load(t.Context(), c, tempPath(t), cachefile.Options[int, int]{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Zero(t, loaded)
	_, err = cachefile.Load(t.Context(), c, t.TempDir(), cachefile.Options[int, int]{})
	require.ErrorIs(t, err, cachefile.ErrDamaged, "a folder")
	_, err = cachefile.Save(t.Context(), c, filepath.Join(t.TempDir(), "no", "folder"),
		cachefile.Options[int, int]{})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// The file is readable by its owner alone, and nothing else is left in the folder.
func TestFolder(t *testing.T) {
	path := tempPath(t)
	c := newCache(t, cache.Options[int, int]{})
	for range 3 {
		save(t, c, path, cachefile.Options[int, int]{})
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	if os.PathSeparator == '/' {
		require.Equal(t, fs.FileMode(0o600), info.Mode())
	}
	require.Equal(t, []string{filepath.Base(path)}, names(t, filepath.Dir(path)))
}

func names(tb testing.TB, folder string) (names []string) {
	tb.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(tb, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestOptions(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{})
	path := tempPath(t)
	type o = cachefile.Options[int, int]
	for field, bad := range map[string]struct {
		c    *cache.Cache[int, int]
		path string
		o    o
	}{
		"cache":              {nil, path, o{}},
		"path":               {c, "", o{}},
		"Options.MaxEntries": {c, path, o{MaxEntries: -1}},
		"Options.MaxBytes":   {c, path, o{MaxBytes: -1}},
		"Options.Version":    {c, path, o{Version: strings.Repeat("v", 1025)}},
	} {
		_, saves := cachefile.Save(t.Context(), bad.c, bad.path, bad.o)
		_, loads := cachefile.Load(t.Context(), bad.c, bad.path, bad.o)
		keeps := cachefile.Keep(t.Context(), bad.c, bad.path, time.Hour, bad.o)
		for _, err := range []error{saves, loads, keeps} {
			var wrong *cachefile.OptionError
			require.ErrorAs(t, err, &wrong, field)
			require.Equal(t, field, wrong.Field)
			require.Contains(t, err.Error(), field)
		}
	}
	require.Empty(t, names(t, filepath.Dir(path)))
}

// A file of a cache of other values is refused, since its entries would be misunderstood.
func TestMismatch(t *testing.T) {
	path := tempPath(t)
	from := newCache(t, cache.Options[string, int]{})
	from.Set("a", 1)
	file := save(t, from, path, cachefile.Options[string, int]{Version: "1"})

	requireMismatch := func(err error, of string) {
		t.Helper()
		var mismatch *cachefile.MismatchError
		require.ErrorAs(t, err, &mismatch)
		require.Equal(t, of, mismatch.Of)
		require.Equal(t, path, mismatch.Path)
		require.NotErrorIs(t, err, cachefile.ErrDamaged)
	}
	to := newCache(t, cache.Options[string, int]{})
	_, err := cachefile.Load(t.Context(), to, path, cachefile.Options[string, int]{Version: "2"})
	requireMismatch(err, "Options.Version")
	_, err = cachefile.Load(t.Context(), to, path, cachefile.Options[string, int]{
		Version: "1", Value: otherCodec{},
	})
	requireMismatch(err, "values")
	texts := newCache(t, cache.Options[string, string]{})
	_, err = cachefile.Load(t.Context(), texts, path, cachefile.Options[string, string]{Version: "1"})
	requireMismatch(err, "values")
	numbers := newCache(t, cache.Options[int, int]{})
	_, err = cachefile.Load(t.Context(), numbers, path, cachefile.Options[int, int]{Version: "1"})
	requireMismatch(err, "keys")

	file[8]++ // the version of the format
	require.NoError(t, os.WriteFile(path, file, 0o600))
	_, err = cachefile.Load(t.Context(), to, path, cachefile.Options[string, int]{Version: "1"})
	requireMismatch(err, "format")
	require.Zero(t, to.Len()+texts.Len()+numbers.Len())
}

type otherCodec struct{}

func (otherCodec) Name() string               { return "other" }
func (otherCodec) Encode(int) ([]byte, error) { return nil, nil }
func (otherCodec) Decode([]byte) (int, error) { return 0, nil }

// A codec that fails for some values leaves these out, and no others.
func TestCodecFails(t *testing.T) {
	path := tempPath(t)
	from := newCache(t, cache.Options[string, int]{})
	for i, k := range []string{"good", "fails", "panics", "won't decode", "won't, loudly"} {
		from.Set(k, i+1)
	}
	o := cachefile.Options[string, int]{Value: pickyCodec{}}
	saved, err := cachefile.Save(t.Context(), from, path, o)
	require.NoError(t, err)
	require.Equal(t, 3, saved.Entries)
	require.Equal(t, 2, saved.Failed)
	var wrong *cachefile.EntryError
	require.ErrorAs(t, saved.Err, &wrong)
	require.Contains(t, []any{"fails", "panics"}, wrong.Key)

	to := newCache(t, cache.Options[string, int]{})
	loaded, err := cachefile.Load(t.Context(), to, path, o)
	require.NoError(t, err)
	require.Equal(t, 1, loaded.Entries)
	require.Equal(t, 2, loaded.Failed)
	require.ErrorAs(t, loaded.Err, &wrong)
	require.Equal(t, map[string]int{"good": 1}, contents(to))
}

var errPicky = errors.New("picky")

// pickyCodec fails for 2 and 4, and panics for 3 and 5: for even halves in Encode, else in Decode.
type pickyCodec struct{}

func (pickyCodec) Name() string { return "picky" }

func (pickyCodec) Encode(v int) ([]byte, error) {
	switch v {
	case 2:
		return nil, errPicky
	case 3:
		panic(errPicky)
	}
	return []byte{byte(v)}, nil
}

func (pickyCodec) Decode(data []byte) (int, error) {
	switch data[0] {
	case 4:
		return 0, errPicky
	case 5:
		panic(errPicky)
	}
	return int(data[0]), nil
}

type hidden struct{ a int }

// Keys that JSON does not keep apart would be given each other's values.
func TestKeysThatTheCodecLoses(t *testing.T) {
	path := tempPath(t)
	from := newCache(t, cache.Options[hidden, string]{})
	from.Set(hidden{0}, "zero")
	from.Set(hidden{1}, "one")
	saved, err := cachefile.Save(t.Context(), from, path, cachefile.Options[hidden, string]{})
	require.NoError(t, err)
	require.Equal(t, 1, saved.Failed)
	require.Equal(t, 1, saved.Entries)
	to := newCache(t, cache.Options[hidden, string]{})
	load(t, to, path, cachefile.Options[hidden, string]{})
	require.Equal(t, map[hidden]string{{0}: "zero"}, contents(to))
}

// The hottest entries are those that are written and read if there is no room for all.
func TestBounds(t *testing.T) {
	path := tempPath(t)
	from := newCache(t, cache.Options[int, string]{Policy: cache.StrictLRU})
	for i := range 1000 {
		from.Set(i, strings.Repeat("v", 100))
	}
	hottest := func(c *cache.Cache[int, string]) (n int) {
		t.Helper()
		keys := slices.Sorted(maps.Keys(contents(c)))
		for i, key := range keys {
			require.Equal(t, 1000-len(keys)+i, key)
		}
		return len(keys)
	}
	type o = cachefile.Options[int, string]

	saved, err := cachefile.Save(t.Context(), from, path, o{MaxBytes: 20_000})
	require.NoError(t, err)
	require.LessOrEqual(t, saved.Bytes, int64(20_000))
	require.Greater(t, saved.Bytes, int64(18_000))
	require.Equal(t, 1000, saved.Entries+saved.Left)
	to := newCache(t, cache.Options[int, string]{})
	require.Equal(t, saved.Entries, load(t, to, path, o{}).Entries)
	require.Equal(t, saved.Entries, hottest(to))

	saved, err = cachefile.Save(t.Context(), from, path, o{MaxEntries: 10})
	require.NoError(t, err)
	require.Equal(t, 10, saved.Entries)
	require.Equal(t, 990, saved.Left)
	to = newCache(t, cache.Options[int, string]{})
	require.Equal(t, 10, load(t, to, path, o{}).Entries)
	require.Equal(t, 10, hottest(to))

	save(t, from, path, o{})
	for name, limited := range map[string]struct {
		of   cache.Options[int, string]
		o    o
		want int
	}{
		"MaxEntries": {o: o{MaxEntries: 17}, want: 17},
		"Capacity":   {of: cache.Options[int, string]{Capacity: 300}, want: 300},
		"MaxWeight": {of: cache.Options[int, string]{
			MaxWeight: 10_000, Weigher: func(_ int, v string) uint32 { return uint32(len(v)) },
		}, want: 100},
	} {
		to := newCache(t, limited.of)
		loaded := load(t, to, path, limited.o)
		require.Equal(t, limited.want, loaded.Entries, name)
		require.Equal(t, limited.want, hottest(to), name)
		require.Equal(t, 1000-limited.want, loaded.Left, name)
		require.Zero(t, to.Stats().Evictions, name)
	}

	to = newCache(t, cache.Options[int, string]{})
	loaded := load(t, to, path, o{MaxBytes: 70_000})
	require.LessOrEqual(t, loaded.Bytes, int64(70_000))
	require.Equal(t, loaded.Entries, hottest(to))
	require.Positive(t, loaded.Entries)
	require.Equal(t, 1000, loaded.Entries+loaded.Left)
}

// An entry too large for the room that is left does not keep smaller ones out.
func TestLargeEntryAmongSmallOnes(t *testing.T) {
	path := tempPath(t)
	weigher := func(_ int, v string) uint32 { return uint32(len(v)) }
	from := newCache(t, cache.Options[int, string]{Policy: cache.StrictLRU})
	for i := range 10 {
		from.Set(i, "small")
	}
	from.Set(10, strings.Repeat("x", 10_000))
	o := cachefile.Options[int, string]{MaxBytes: 5000}
	saved, err := cachefile.Save(t.Context(), from, path, o)
	require.NoError(t, err)
	require.Equal(t, 10, saved.Entries)
	require.Equal(t, 1, saved.Left)

	save(t, from, path, cachefile.Options[int, string]{})
	to := newCache(t, cache.Options[int, string]{MaxWeight: 5000, Weigher: weigher})
	loaded := load(t, to, path, cachefile.Options[int, string]{})
	require.Equal(t, 10, loaded.Entries)
	require.Equal(t, 1, loaded.Left)
}

// A context that has ended stops both. The older file stays, and what was read is stored.
func TestContext(t *testing.T) {
	path := tempPath(t)
	from := newCache(t, cache.Options[int, string]{})
	from.Set(1, "one")
	before := save(t, from, path, cachefile.Options[int, string]{})
	ended, end := context.WithCancel(t.Context())
	end()
	from.Set(2, "two")
	_, err := cachefile.Save(ended, from, path, cachefile.Options[int, string]{})
	require.ErrorIs(t, err, context.Canceled)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Len(t, names(t, filepath.Dir(path)), 1)

	to := newCache(t, cache.Options[int, string]{})
	_, err = cachefile.Load(ended, to, path, cachefile.Options[int, string]{})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, to.Len())
}

// A cache that was closed is empty, and must not replace the file of the one that was in use.
func TestClosed(t *testing.T) {
	path := tempPath(t)
	c, err := cache.New(cache.Options[int, int]{})
	require.NoError(t, err)
	c.Set(1, 1)
	before := save(t, c, path, cachefile.Options[int, int]{})
	require.NoError(t, c.Close())
	_, err = cachefile.Save(t.Context(), c, path, cachefile.Options[int, int]{})
	require.ErrorIs(t, err, cache.ErrClosed)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	loaded, err := cachefile.Load(t.Context(), c, path, cachefile.Options[int, int]{})
	require.NoError(t, err)
	require.Zero(t, loaded.Entries)
	require.Zero(t, c.Len())
}
