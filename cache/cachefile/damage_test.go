package cachefile_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachefile"
)

// valueOf returns the value that the tests store for a key. So a wrong one is noticed.
func valueOf(key string) string { return "the value of " + key + strings.Repeat(".", len(key)) }

// smallFile returns a file with several blocks of n entries in all.
func smallFile(tb testing.TB, n int) []byte {
	tb.Helper()
	c := newCache(tb, cache.Options[string, string]{TTL: time.Hour, StaleFor: time.Hour})
	for i := range n {
		key := strconv.Itoa(i)
		if i == n/2 {
			key = strings.Repeat("k", 40_000) // so that there is more than one block
		}
		c.Set(key, valueOf(key))
	}
	return save(tb, c, tempPath(tb), texts{})
}

// requireRight checks that no wrong value is in c.
func requireRight(tb testing.TB, c *cache.Cache[string, string]) {
	tb.Helper()
	for k, v := range c.All() {
		if v != valueOf(k) {
			tb.Fatalf("%q has the value %q", k, v)
		}
	}
}

// loadDamaged loads data into a new cache, and returns the result and the number of entries.
func loadDamaged(tb testing.TB, data []byte) (cachefile.Loaded, int, error) {
	tb.Helper()
	c, err := cache.New(cache.Options[string, string]{TTL: time.Hour, StaleFor: time.Hour})
	require.NoError(tb, err)
	defer func() { require.NoError(tb, c.Close()) }()
	loaded, err := cachefile.LoadBytes(context.Background(), c, data, texts{})
	requireRight(tb, c)
	require.Equal(tb, c.Len(), loaded.Entries)
	return loaded, c.Len(), err
}

// step returns the distance between the positions that a test tries: 1 for all of them.
func step(full int) int {
	if testing.Short() {
		return full
	}
	return 1
}

// A file that was cut anywhere, even between two blocks, is known not to be whole, and what is
// before the cut is loaded.
func TestTruncation(t *testing.T) {
	file := smallFile(t, 200)
	frames := cachefile.FrameOffsets(file)
	require.GreaterOrEqual(t, len(frames), 4, "a header, two blocks and an end")
	last := 0
	try := func(n int) {
		_, entries, err := loadDamaged(t, file[:n])
		var damage *cachefile.DamageError
		require.ErrorAs(t, err, &damage, "cut at %d", n)
		require.ErrorIs(t, err, cachefile.ErrDamaged)
		require.LessOrEqual(t, damage.Offset, int64(n))
		require.Equal(t, int64(n), damage.Size)
		require.GreaterOrEqual(t, entries, last, "cut at %d", n)
		last = entries
	}
	for n := 0; n < len(file); n += step(97) {
		try(n)
	}
	try(len(file) - 1)
	require.Equal(t, 200, last, "all blocks are whole without the end")
	last = 0
	for _, at := range frames {
		for n := at - 2; n < min(at+12, int64(len(file))); n++ {
			try(int(n))
		}
	}
	_, entries, err := loadDamaged(t, file)
	require.NoError(t, err)
	require.Equal(t, 200, entries)
}

// A changed bit anywhere is noticed.
func TestFlippedBits(t *testing.T) {
	file := smallFile(t, 200)
	for at := 0; at < len(file); at += step(307) {
		data := bytes.Clone(file)
		data[at] ^= 1 << (at % 8)
		_, entries, err := loadDamaged(t, data)
		require.Error(t, err, "byte %d", at)
		require.Less(t, entries, 201)
	}
	loaded, _, err := loadDamaged(t, append(bytes.Clone(file), 0))
	require.ErrorIs(t, err, cachefile.ErrDamaged, "a byte too many")
	require.Equal(t, 200, loaded.Entries)
}

// Blocks of several bytes that were lost, doubled or moved are noticed.
func TestMovedParts(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	file := smallFile(t, 300)
	for range 300 {
		data := bytes.Clone(file)
		from, to, n := r.IntN(len(data)), r.IntN(len(data)), 1+r.IntN(5000)
		copy(data[to:], file[from:min(from+n, len(file))])
		_, _, err := loadDamaged(t, data)
		require.Equal(t, bytes.Equal(data, file), err == nil)
	}
}

// A block that is left from an older file of the same length, as after a crash of a machine whose
// disk had not written all, does not count.
func TestBlockOfOlderFile(t *testing.T) {
	c := newCache(t, cache.Options[string, string]{Policy: cache.StrictLRU})
	now := time.Now()
	file := func(generation string) []byte {
		for i := range 300 {
			c.Set(strings.Repeat("k", 300)+strconv.Itoa(i), generation)
		}
		return save(t, c, tempPath(t), cachefile.WithNow(texts{}, func() time.Time { return now }))
	}
	before, after := file("before"), file("after.")
	offsets := cachefile.FrameOffsets(after)
	require.Equal(t, offsets, cachefile.FrameOffsets(before))
	require.GreaterOrEqual(t, len(offsets), 4)
	for i, from := range offsets {
		to := int64(len(after))
		if i+1 < len(offsets) {
			to = offsets[i+1]
		}
		mixed := bytes.Clone(after)
		copy(mixed[from:to], before[from:to])
		to2 := newCache(t, cache.Options[string, string]{})
		_, err := cachefile.LoadBytes(t.Context(), to2, mixed, texts{})
		require.ErrorIs(t, err, cachefile.ErrDamaged, "frame %d", i)
		for _, v := range contents(to2) {
			require.NotEqual(t, "before", v, "frame %d", i)
		}
	}
}

func uvarints(n ...uint64) (b []byte) {
	for _, n := range n {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// headerPayload returns the payload of a header that claims to be of so many entries.
func headerPayload(entries uint64) []byte {
	b := binary.AppendVarint(nil, time.Now().UnixNano())
	b = append(b, make([]byte, 8)...)
	b = binary.AppendVarint(b, int64(time.Hour))
	b = binary.AppendUvarint(b, entries)
	for _, text := range []string{"", "string of string", "string of string"} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return b
}

// A file with right checksums that claims to be huge costs no more memory than it is long.
func TestHostileLengths(t *testing.T) {
	head := headerPayload(1 << 60)
	kinds := []byte{cachefile.HeaderFrame, cachefile.BlockFrame, cachefile.EndFrame}
	hostile := map[string][]byte{
		"frame length": append(cachefile.Frames(kinds[:1], head), 0xff, 0xff, 0xff, 3, 0, 0, 0, 0, 2),
		"frame beyond": append(cachefile.Frames(kinds[:1], head), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 2),
		"key":          cachefile.Frames(kinds, head, uvarints(0, 0, 1<<60), uvarints(1)),
		"value":        cachefile.Frames(kinds, head, uvarints(0, 0, 0, 1<<60), uvarints(1)),
		"long number":  cachefile.Frames(kinds, head, bytes.Repeat([]byte{0xff}, 100), uvarints(1)),
		"flags":        cachefile.Frames(kinds, head, []byte{0xff, 0, 0, 0, 0}, uvarints(1)),
		"end":          cachefile.Frames(kinds, head, nil, uvarints(1<<60)),
		"header":       cachefile.Frames(kinds[:1], []byte{1, 2, 3}),
		"two headers":  cachefile.Frames([]byte{1, 1, 3}, head, head, uvarints(0)),
		"no header":    cachefile.Frames(kinds[1:], nil, uvarints(0)),
	}
	for name, data := range hostile {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, entries, err := loadDamaged(t, data)
		runtime.ReadMemStats(&after)
		require.ErrorIs(t, err, cachefile.ErrDamaged, name)
		require.Zero(t, entries, name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), name)
	}
	_, entries, err := loadDamaged(t, cachefile.Frames(kinds, head, nil, uvarints(0)))
	require.NoError(t, err, "only the number in the header is wrong, which is a bound")
	require.Zero(t, entries)
}

// Times at the ends of their range in a file do not overflow.
func TestExtremeTimes(t *testing.T) {
	kinds := []byte{cachefile.HeaderFrame, cachefile.BlockFrame, cachefile.EndFrame}
	for _, at := range []int64{math.MinInt64, -1, 0, time.Now().UnixNano(), math.MaxInt64} {
		for _, rest := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64 - 1, math.MaxInt64} {
			head := binary.AppendVarint(nil, at)
			old := headerPayload(1)
			_, n := binary.Varint(old)
			head = append(head, old[n:]...)
			block := binary.AppendVarint([]byte{3}, rest)
			block = append(block, uvarints(math.MaxUint64, math.MaxUint64, 1)...)
			block = append(append(block, 'k'), uvarints(uint64(len(valueOf("k"))))...)
			block = append(block, valueOf("k")...)
			c := newCache(t, cache.Options[string, string]{TTL: time.Hour, StaleFor: cache.Forever})
			_, err := cachefile.LoadBytes(t.Context(), c,
				cachefile.Frames(kinds, head, block, uvarints(1)), texts{})
			require.NoError(t, err)
			requireRight(t, c)
			if r, err := c.FetchResult(t.Context(), "k", down); err == nil {
				require.GreaterOrEqual(t, r.Age, time.Duration(0))
				_, ttl, ok := c.Peek("k")
				require.True(t, ok)
				require.Equal(t, r.Stale, ttl < 0, fmt.Sprint(at, rest))
			}
		}
	}
}

// FuzzLoad loads any bytes: it must not panic, nor give a wrong value.
func FuzzLoad(f *testing.F) {
	file := smallFile(f, 5)
	f.Add(file)
	f.Add(file[:len(file)-1])
	f.Add([]byte{})
	f.Add([]byte("snowfile\x01\x00\x00\x00"))
	c := newCache(f, cache.Options[string, string]{Capacity: 3})
	c.Set("a", valueOf("a"))
	f.Add(save(f, c, tempPath(f), texts{}))
	f.Fuzz(func(t *testing.T, data []byte) { _, _, _ = loadDamaged(t, data) })
}

// FuzzBlock loads a file with a right header and right checksums whose block has any bytes.
func FuzzBlock(f *testing.F) {
	f.Add(append(append([]byte{0, 0, 1, 'k'}, uvarints(1)...), 'v'), uint64(1))
	f.Add([]byte{3, 0, 0, 0, 0, 0}, uint64(1))
	f.Add([]byte{3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 5, 7, 0, 0}, uint64(1))
	f.Fuzz(func(t *testing.T, block []byte, entries uint64) {
		data := cachefile.Frames(
			[]byte{cachefile.HeaderFrame, cachefile.BlockFrame, cachefile.EndFrame},
			headerPayload(entries), block, uvarints(entries))
		c, err := cache.New(cache.Options[string, string]{TTL: time.Hour, StaleFor: time.Hour})
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		loaded, err := cachefile.LoadBytes(context.Background(), c, data, texts{})
		require.Equal(t, c.Len(), loaded.Entries)
		if err == nil {
			require.EqualValues(t, entries, loaded.Entries+loaded.Gone+loaded.Known)
		}
	})
}

// The error of a file on the disk names it and says how much of it is lost.
func TestFileOnDisk(t *testing.T) {
	path := tempPath(t)
	require.NoError(t, os.WriteFile(path, smallFile(t, 200)[:1000], 0o600))
	c := newCache(t, cache.Options[string, string]{})
	_, err := cachefile.Load(t.Context(), c, path, texts{})
	var damage *cachefile.DamageError
	require.ErrorAs(t, err, &damage)
	require.Equal(t, path, damage.Path)
	require.EqualValues(t, 1000, damage.Size)
	require.Contains(t, err.Error(), path)
}
