package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snowfence/snowfence/internal/series"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// best returns the most hits of any sequence of evictions, including not storing a key.
func best(ids, held []uint32, capacity int) int {
	if len(ids) == 0 {
		return 0
	}
	id := ids[0]
	switch {
	case slices.Contains(held, id):
		return 1 + best(ids[1:], held, capacity)
	case len(held) < capacity:
		return best(ids[1:], append(slices.Clone(held), id), capacity)
	}
	most := best(ids[1:], held, capacity)
	for j := range held {
		other := slices.Clone(held)
		other[j] = id
		most = max(most, best(ids[1:], other, capacity))
	}
	return most
}

func TestBeladyIsTheOptimum(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		ids := make([]uint32, 12)
		for i := range ids {
			ids[i] = r.Uint32N(6)
		}
		capacity := 1 + r.IntN(3)
		require.Equal(t, best(ids, nil, capacity), belady(ids, capacity), "%v in %d", ids, capacity)
	}
}

// With room for all keys, only the first request of each misses, and no policy beats the optimum.
func TestPolicies(t *testing.T) {
	ids, err := zipf(1.01, 20_000, 1)
	require.NoError(t, err)
	all := newTrace("", ids)
	for _, p := range policies {
		t.Run(p.name, func(t *testing.T) {
			hits, err := p.replay(ids, 40_000)
			require.NoError(t, err)
			require.InDelta(t, len(ids)-all.distinct, hits, 300) // ristretto drops some
			hits, err = p.replay(ids, all.distinct/10)
			require.NoError(t, err)
			if p.name != "otter" { // it may hold more than its capacity for a while
				require.LessOrEqual(t, hits, belady(ids, all.distinct/10))
			}
			require.Greater(t, hits, len(ids)/4)
		})
	}
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(
		"github.com/golang/glog.(*fileSink).flushDaemon"))
}

// In a loop LRU has no hits, and the optimum nearly as many per lap as its capacity.
func TestLoop(t *testing.T) {
	ids := loop(1000, 20_000)
	hits, err := replayLRU(ids, 500)
	require.NoError(t, err)
	require.Zero(t, hits)
	require.InDelta(t, 19_000*500/1000, belady(ids, 500), 20)
}

func TestScans(t *testing.T) {
	require.Equal(t, []uint32{1, 2, zipfKeys, zipfKeys + 1, 3, 4, zipfKeys + 2, zipfKeys + 3},
		scans([]uint32{1, 2, 3, 4}, 2))
}

func TestPhases(t *testing.T) {
	require.Equal(t, []uint32{1, 2, zipfKeys + 5, zipfKeys + 6, 3, 4, zipfKeys + 7, zipfKeys + 8},
		phases([]uint32{1, 2, 3, 4, 9}, []uint32{5, 6, 7, 8, 9}, 2))
}

// Each key that was inserted comes once.
func TestOneTimers(t *testing.T) {
	once := make(map[uint32]bool)
	rest := slices.DeleteFunc(oneTimers([]uint32{1, 1, 2, 3, 1, 1, 1, 1, 1, 1}, 1),
		func(id uint32) bool {
			if id < zipfKeys {
				return false
			}
			require.False(t, once[id])
			once[id] = true
			return true
		})
	require.Equal(t, []uint32{1, 1, 2, 3, 1, 1, 1, 1, 1, 1}, rest)
	require.NotEmpty(t, once)
}

// A key is asked for while it is one of those of the time, by its popularity, and not before or
// after that.
func TestDrift(t *testing.T) {
	const keys = 100
	ids, err := drift(20_000, keys, 1)
	require.NoError(t, err)
	times := make(map[uint32]int)
	for i, id := range ids {
		require.GreaterOrEqual(t, int(id), i/20)
		require.Less(t, int(id), i/20+keys)
		times[id]++
	}
	most := 0
	for _, n := range times {
		most = max(most, n)
	}
	require.Greater(t, most, 10*len(ids)/len(times))
}

// Every key comes two to five times, close together.
func TestRecency(t *testing.T) {
	ids := recency(10_000, 100, 1)
	require.GreaterOrEqual(t, len(ids), 10_000)
	require.Less(t, len(ids), 10_005)
	first, times := make(map[uint32]int), make(map[uint32]int)
	for i, id := range ids {
		if times[id] == 0 {
			first[id] = i
		}
		times[id]++
		require.Less(t, i-first[id], 150, "key %d", id)
	}
	for id, n := range times {
		require.True(t, n >= 2 && n <= 5, "key %d came %d times", id, n)
	}
	hits, err := replayLRU(ids, 150)
	require.NoError(t, err)
	require.Equal(t, len(ids)-len(times), hits, "room for a window is enough")
}

func TestCurves(t *testing.T) {
	c := curves(trace{name: "x", distinct: 2000}, []result{
		{Policy: "belady", Share: 0.01, HitRatio: 0.5},
		{Policy: "snowfence LRU", Share: 0.01, HitRatio: 0.25},
		{Policy: "belady", Share: 0.1, HitRatio: 0.75},
		{Policy: "snowfence LRU", Share: 0.1, HitRatio: 0.5},
	})
	require.Equal(t, "capacity, % of the 2,000 distinct keys (logarithmic)", c.XLabel)
	require.Len(t, c.Lines, 2)
	require.Equal(t, []series.Point{{T: 1, V: 50}, {T: 10, V: 75}}, c.Lines[0].Points)
	require.Equal(t, []series.Point{{T: 1, V: 25}, {T: 10, V: 50}}, c.Lines[1].Points)
	require.False(t, c.Lines[0].Bold)
	require.True(t, c.Lines[1].Bold)
}

func TestFileName(t *testing.T) {
	for name, want := range map[string]string{
		"OLTP.arc.gz":         "hitratio-oltp.svg",
		"zipf 1.01 and scans": "hitratio-zipf-1.01-and-scans.svg",
	} {
		require.Equal(t, want, fileName(name))
	}
}

// requireXML fails unless path is well-formed XML.
func requireXML(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	for d := xml.NewDecoder(file); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err, path)
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.json")
	var out bytes.Buffer
	pictures := filepath.Join(dir, "new", "pictures")
	require.NoError(t, command([]string{
		"-requests", "2000", "-rounds", "3", "-trace", "../../testdata/traces/small.arc",
		"-json", path, "-svg", pictures, "-policies", "belady,snowfence LRU,golang-lru",
	}, &out))
	require.Contains(t, out.String(), "small.arc: ")
	for line := range strings.Lines(out.String()) {
		require.LessOrEqual(t, len(line), 101, line)
	}
	drawn, err := filepath.Glob(filepath.Join(pictures, "*.svg"))
	require.NoError(t, err)
	require.Len(t, drawn, 10)
	for _, file := range drawn {
		requireXML(t, file)
	}
	require.Contains(t, drawn, filepath.Join(pictures, "hitratio-small.svg"))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var results []result
	require.NoError(t, json.Unmarshal(data, &results))
	require.Len(t, results, 10*3*10)
	for _, r := range results {
		require.LessOrEqual(t, r.HitRatio, 1.)
		require.LessOrEqual(t, r.Lowest, r.HitRatio)
		require.LessOrEqual(t, r.HitRatio, r.Highest)
	}
	for _, wrong := range [][]string{
		{"-requests", "7"}, {"-rounds", "0"}, {"-trace", "nowhere"}, {"-policies", "mru"}, {"-no-such"},
		{"file"}, {"-json", filepath.Join(dir, "no", "folder.json")},
		{"-svg", path},
	} {
		require.ErrorIs(t, command(wrong, &out), cli.ErrUsage, wrong)
	}
}
