package workload

import (
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func spec(tb testing.TB, text string) KeySpec {
	tb.Helper()
	var k KeySpec
	require.NoError(tb, k.UnmarshalText([]byte(text)))
	return k
}

func space(tb testing.TB, c SpaceConfig) *Space {
	tb.Helper()
	s, err := NewSpace(c)
	require.NoError(tb, err)
	return s
}

func take(s Source, n int) []uint64 {
	keys := make([]uint64, 0, n)
	for range n {
		key, ok := s.Next()
		if !ok {
			break
		}
		keys = append(keys, key)
	}
	return keys
}

func TestSourcesAreDeterministic(t *testing.T) {
	for _, text := range []string{"zipf:1.01", "uniform", "scan", "zipf-scan:0.99"} {
		for _, scramble := range []bool{false, true} {
			c := SpaceConfig{Keys: spec(t, text), Count: 1000, Seed: 7, Scramble: scramble}
			a := take(space(t, c).Source(1), 500)
			require.Equal(t, a, take(space(t, c).Source(1), 500), text)
			require.NotEqual(t, a, take(space(t, c).Source(2), 500), "%s: another worker", text)
			c.Seed++
			require.NotEqual(t, a, take(space(t, c).Source(1), 500), "%s: another seed", text)
			require.Less(t, slices.Max(a), uint64(1000))
		}
	}
}

// A change of the generators must not go unnoticed: old seeds would select other runs.
func TestGoldenKeys(t *testing.T) {
	require.Equal(t, []uint64{0, 43, 0, 350, 493, 1, 256, 390},
		take(space(t, SpaceConfig{Keys: spec(t, "zipf:1.01"), Count: 1000, Seed: 1}).Source(0), 8))
	require.Equal(t, []uint64{281, 871, 505, 296, 351, 420, 76, 945},
		take(space(t, SpaceConfig{Keys: spec(t, "uniform"), Count: 1000, Seed: 1}).Source(0), 8))
}

func TestUniform(t *testing.T) {
	counts := make([]int, 100)
	for _, k := range take(space(t,
		SpaceConfig{Keys: spec(t, "uniform"), Count: 100, Seed: 1}).Source(0), 100_000) {
		counts[k]++
	}
	p := make([]float64, 100)
	for i := range p {
		p[i] = 0.01
	}
	requireChiSquared(t, counts, p)
}

func TestScan(t *testing.T) {
	s := space(t, SpaceConfig{Keys: spec(t, "scan"), Count: 3, Seed: 1})
	require.Equal(t, []uint64{0, 1, 2, 0, 1}, take(s.Source(0), 5))
	other := take(s.Source(5), 4)
	for i := 1; i < len(other); i++ {
		require.Equal(t, (other[i-1]+1)%3, other[i])
	}
}

func TestZipfScan(t *testing.T) {
	const n = 200_000
	s := space(t, SpaceConfig{Keys: spec(t, "zipf-scan:1.01,0.4,50"), Count: 1000, Seed: 3})
	src, ok := s.Source(0).(*zipfScanSource)
	require.True(t, ok)
	scanned, zipf := 0, make([]int, 1000)
	var previous uint64
	inScan := false
	for range n {
		_, starting := src.left, src.left == 0
		key, _ := src.Next()
		switch {
		case !starting || src.left > 0: // a scan's first key leaves 49 to come
			if !starting && inScan {
				require.Equal(t, (previous+1)%1000, key, "a scan goes through neighbours")
			}
			scanned++
			inScan = true
		default:
			zipf[key]++
			inScan = false
		}
		previous = key
	}
	require.InDelta(t, 0.4, float64(scanned)/n, 0.02)
	requireChiSquared(t, zipf, zipfProbabilities(1000, 1.01))
}

func TestTraceReplay(t *testing.T) {
	ids := []uint32{0, 1, 1, 2, 0}
	s := space(t, SpaceConfig{Keys: KeySpec{Kind: KindTrace}, Trace: ids})
	require.Equal(t, uint64(3), s.Count())
	require.Equal(t, []uint64{0, 1, 1, 2, 0}, take(s.Source(0), 10))
	_, ok := s.Source(1).Next()
	require.False(t, ok, "a trace has one end for all workers")

	s = space(t, SpaceConfig{Keys: KeySpec{Kind: KindTrace}, Trace: ids, Loop: true})
	require.Equal(t, []uint64{0, 1, 1, 2, 0, 0, 1}, take(s.Source(0), 7))
}

// Workers share a trace: each of its requests is made exactly once.
func TestTraceIsShared(t *testing.T) {
	ids := make([]uint32, 10_000)
	for i := range ids {
		ids[i] = uint32(i)
	}
	s := space(t, SpaceConfig{Keys: KeySpec{Kind: KindTrace}, Trace: ids})
	var mu sync.Mutex
	var all []uint64
	var wg sync.WaitGroup
	for w := range uint64(4) {
		wg.Go(func() {
			keys := take(s.Source(w), len(ids))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, keys...)
		})
	}
	wg.Wait()
	slices.Sort(all)
	require.Len(t, all, len(ids))
	require.Equal(t, uint64(len(ids)-1), all[len(all)-1])
	require.Len(t, slices.Compact(all), len(ids))
}

func TestScrambleIsABijection(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 4, 5, 16, 17, 1000, 65_537} {
		s := space(t, SpaceConfig{Keys: spec(t, "uniform"), Count: n, Seed: 9, Scramble: true})
		seen := make([]bool, n)
		moved := 0
		for r := range n {
			k := s.Key(r)
			require.False(t, seen[k], "n=%d: two ranks for key %d", n, k)
			seen[k] = true
			if k != r {
				moved++
			}
		}
		if n >= 1000 {
			require.Greater(t, moved, int(n*9/10))
		}
	}
}

func TestScrambleKeepsPopularity(t *testing.T) {
	s := space(t, SpaceConfig{Keys: spec(t, "zipf:1.2"), Count: 500, Seed: 9, Scramble: true})
	rank := make(map[uint64]int)
	for r := range 500 {
		rank[s.Key(uint64(r))] = r
	}
	counts := make([]int, 500)
	for _, k := range take(s.Source(0), 200_000) {
		counts[rank[k]]++
	}
	requireChiSquared(t, counts, zipfProbabilities(500, 1.2))
}

func TestTargets(t *testing.T) {
	t.Run("share 0 is the most popular", func(t *testing.T) {
		keys, got, err := space(t, SpaceConfig{Keys: spec(t, "zipf:1.01"), Count: 1000}).Targets(3, 0)
		require.NoError(t, err)
		require.Equal(t, []uint64{0, 1, 2}, keys)
		p := zipfProbabilities(1000, 1.01)
		require.InDelta(t, p[0]+p[1]+p[2], got, 1e-9)
	})
	for _, text := range []string{"zipf:1.01", "zipf:0.8", "zipf-scan:1.01,0.2,20"} {
		for _, scramble := range []bool{false, true} {
			s := space(t, SpaceConfig{Keys: spec(t, text), Count: 1000, Seed: 4, Scramble: scramble})
			keys, got, err := s.Targets(5, 0.05)
			require.NoError(t, err)
			require.Len(t, keys, 5)
			require.InDelta(t, 0.05, got, 0.005, text)
			// A run gets the promised share.
			hits := 0
			for _, k := range take(s.Source(0), 200_000) {
				if slices.Contains(keys, k) {
					hits++
				}
			}
			require.InDelta(t, got, float64(hits)/200_000, 0.003, text)
		}
	}
	t.Run("trace", func(t *testing.T) {
		s := space(t, SpaceConfig{Keys: KeySpec{Kind: KindTrace},
			Trace: []uint32{2, 2, 2, 2, 2, 0, 0, 0, 1, 3}})
		keys, got, err := s.Targets(2, 0)
		require.NoError(t, err)
		require.Equal(t, []uint64{2, 0}, keys)
		require.InDelta(t, 0.8, got, 1e-9)
		keys, got, err = s.Targets(1, 0.1)
		require.NoError(t, err)
		require.Equal(t, []uint64{1}, keys)
		require.InDelta(t, 0.1, got, 1e-9)
	})
	t.Run("uniform", func(t *testing.T) {
		s := space(t, SpaceConfig{Keys: spec(t, "uniform"), Count: 100})
		keys, got, err := s.Targets(5, 0)
		require.NoError(t, err)
		require.Len(t, keys, 5)
		require.InDelta(t, 0.05, got, 1e-9)
		_, _, err = s.Targets(5, 0.1)
		require.EqualError(t, err, "workload: targets: share: has no meaning for uniform keys, which "+
			"are all alike")
		_, _, err = s.Targets(101, 0)
		require.EqualError(t, err, "workload: targets: number of keys: must be from 1 to 100, got 101")
		_, _, err = s.Targets(1, math.NaN())
		require.EqualError(t, err, "workload: targets: share: must be from 0 to 1, got NaN")
	})
}

func TestSpaceIsChecked(t *testing.T) {
	for _, tt := range []struct {
		c    SpaceConfig
		want string
	}{
		{SpaceConfig{Keys: KeySpec{Kind: KindZipf}, Count: 1},
			"skew: must be > 0 and at most 50, got 0"},
		{SpaceConfig{Keys: KeySpec{Kind: KindUniform}},
			"workload: Count: must be from 1 to 4503599627370496, got 0"},
		{SpaceConfig{Keys: KeySpec{Kind: KindUniform}, Count: 1, Trace: []uint32{1}},
			"workload: Trace: given, but the keys are uniform"},
		{SpaceConfig{Keys: KeySpec{Kind: KindTrace}},
			"workload: Trace: is empty, but the keys are those of a trace"},
		{SpaceConfig{Keys: KeySpec{Kind: KindTrace}, Trace: []uint32{1}, Count: 4},
			"workload: Count and Scramble: not for a trace, whose keys are its own"},
	} {
		_, err := NewSpace(tt.c)
		require.EqualError(t, err, tt.want)
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	for _, text := range []string{"zipf:1.01", "uniform", "scan", "zipf-scan:1.01"} {
		s := space(t, SpaceConfig{Keys: spec(t, text), Count: 1000, Scramble: true}).Source(0)
		require.Zero(t, testing.AllocsPerRun(1000, func() { s.Next() }), text)
	}
	s := space(t, SpaceConfig{Keys: KeySpec{Kind: KindTrace}, Trace: []uint32{1, 2, 3}, Loop: true}).Source(
		0)
	require.Zero(t, testing.AllocsPerRun(1000, func() { s.Next() }))
}

func TestStreamsDiffer(t *testing.T) {
	seen := make(map[uint64]string)
	for name, path := range map[string][]uint64{"": nil, "0": {0}, "0 0": {0, 0}, "1": {1},
		"0 1": {0, 1}, "1 0": {1, 0}} {
		v := Stream(5, path...).Uint64()
		require.Empty(t, seen[v], "paths %q and %q give the same", seen[v], name)
		seen[v] = "path " + name
	}
	require.NotEqual(t, Hash(1, 2), Hash(2, 1))
}

func BenchmarkNext(b *testing.B) {
	for _, text := range []string{"zipf:1.01", "uniform", "zipf-scan:1.01"} {
		b.Run(text, func(b *testing.B) {
			s := space(b, SpaceConfig{Keys: spec(b, text), Count: 1_000_000, Scramble: true}).Source(0)
			b.ReportAllocs()
			for b.Loop() {
				s.Next()
			}
		})
	}
}
