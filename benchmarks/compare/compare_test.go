package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// raw is the output of two rounds of two libraries and two benchmarks.
const raw = `BenchmarkHit/keys=int/ttl=1h0m0s/lib=snowfence         	 100	 10.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkHit/keys=int/ttl=1h0m0s/lib=snowfence-2       	 100	 8.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkHit/keys=int/ttl=1h0m0s/lib=otter             	 100	 30.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkHit/keys=int/ttl=1h0m0s/lib=otter-2           	 100	 16.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkMemory/types=int-int/ttl=0s/lib=snowfence-2   	 1	 0 ns/op	 53.2 B/entry	 25.0 ms/gc
BenchmarkMemory/types=int-int/ttl=0s/lib=otter-2       	 1	 0 ns/op	 90.0 B/entry	 60.0 ms/gc
BenchmarkHit/keys=int/ttl=1h0m0s/lib=otter             	 100	 100.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkHit/keys=int/ttl=1h0m0s/lib=snowfence         	 100	 20.0 ns/op	 0 B/op	 0 allocs/op
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "raw.txt")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestResults(t *testing.T) {
	r, err := readResults(write(t, raw))
	require.NoError(t, err)
	m := r.index[[2]string{"Hit/keys=int/ttl=1h0m0s-1", "sec/op"}]
	require.NotNil(t, m)
	require.InDeltaSlice(t, []float64{10e-9, 20e-9}, m.by["snowfence"], 1e-15)
	x, ok := m.against("otter")
	require.True(t, ok)
	require.InDelta(t, 4, x.median, 1e-9, "3 and 5, each within its round")
	require.InDelta(t, 3, x.low, 1e-9)
	require.InDelta(t, 5, x.high, 1e-9)
	require.Nil(t, r.index[[2]string{"Memory/types=int-int/ttl=0s-2", "sec/op"}], "it has other units")
	require.Equal(t, "Hit (keys int, ttl 1h), 1 core", m.title())

	_, err = readResults(write(t, "nothing\n"))
	require.ErrorIs(t, err, errNoResults)
	_, err = readResults("nowhere")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestReports(t *testing.T) {
	r, err := readResults(write(t, raw))
	require.NoError(t, err)
	text, err := markdown(r.tables())
	require.NoError(t, err)
	for _, line := range []string{
		"| time per operation | snowfence | otter |",
		"| Hit (keys int, ttl 1h), 1 core ↓ | **15.0 ns** | 65.0 ns ×4.00 (3.00–5.00) |",
		"| Hit (keys int, ttl 1h), 2 cores ↓ | **8.00 ns** | 16.0 ns ×2.00 (2.00–2.00) |",
		"| Memory (types int-int, ttl 0s), 2 cores ↓ | **53 B** | 90 B ×1.69 (1.69–1.69) |",
	} {
		require.Contains(t, text, line)
	}
	require.NotContains(t, text, "allocations", "all have 0")

	dir := t.TempDir()
	require.NoError(t, writeReports(dir, r))
	page, err := os.ReadFile(filepath.Join(dir, "compare.html"))
	require.NoError(t, err)
	for _, part := range []string{">time per operation<", "Hit (keys int, ttl 1h), 1 core", "×4.00",
		`<td class="num" style="--bar:1.00">65.0`, `<td class="num best" style="--bar:0.23">`} {
		require.Contains(t, string(page), part)
	}
	for _, foreign := range []string{"<script", "<link", "src=", "url(http"} {
		require.NotContains(t, string(page), foreign)
	}
	md, err := os.ReadFile(filepath.Join(dir, "compare.md"))
	require.NoError(t, err)
	require.Equal(t, text, string(md))
}

func TestPlan(t *testing.T) {
	p, err := parsePlan([]string{"-quick", "-libs", "snowfence,otter", "-bench", "Hit|Miss"})
	require.NoError(t, err)
	require.Equal(t, 1, p.rounds)
	require.Equal(t, []string{"snowfence", "otter"}, p.libs)
	_, err = parsePlan([]string{"-h"})
	require.ErrorIs(t, err, flag.ErrHelp)
	for want, args := range map[string][]string{
		"-rounds: 0":               {"-rounds", "0"},
		"-bench: (":                {"-bench", "("},
		`-libs: "olric"`:           {"-libs", "olric"},
		`-libs: ""`:                {"-libs", ""},
		"-cpu: 1,x":                {"-cpu", "1,x"},
		"-benchtime: 0s":           {"-benchtime", "0s"},
		"-benchtime: long":         {"-benchtime", "long"},
		"-from: nowhere":           {"-from", "nowhere"},
		"is not a flag, nor check": {"run"},
		"not defined":              {"-no-such"},
	} {
		_, err := parsePlan(args)
		require.ErrorIs(t, err, cli.ErrUsage, want)
		require.ErrorContains(t, err, want)
	}
}

func TestUnits(t *testing.T) {
	for want, v := range map[string]float64{"9.99 ns": 9.99e-9, "12.3 ns": 12.34e-9, "999 ns": 999e-9,
		"1.00 µs": 999.9e-9, "20.0 ms": 0.02, "3.00 s": 3} {
		require.Equal(t, want, formatSeconds(v))
	}
	require.Equal(t, "6", format("allocs/op", 6))
	require.Equal(t, "0.25", format("%failed", 0.25))
}

// A loss is reported if it is large and significant.
func TestVerdict(t *testing.T) {
	quiet := []float64{100, 101, 99, 100, 102, 98}
	times := func(by float64, values []float64) []float64 {
		var all []float64
		for _, v := range values {
			all = append(all, by*v)
		}
		return all
	}
	noisy := []float64{60, 150, 90, 130, 70, 140}
	for _, tt := range []struct {
		name string
		p    pair
		bad  bool
	}{
		{"the same", pair{"a", "sec/op", quiet, quiet}, false},
		{"5 % slower", pair{"a", "sec/op", quiet, times(1.05, quiet)}, false},
		{"20 % slower", pair{"a", "sec/op", quiet, times(1.2, quiet)}, true},
		{"20 % faster", pair{"a", "sec/op", times(1.2, quiet), quiet}, false},
		{"slower by chance", pair{"a", "sec/op", noisy, times(1.15, noisy)}, false},
		{"one allocation more", pair{"a", "allocs/op", []float64{6, 6, 6, 6, 6, 6},
			[]float64{7, 7, 7, 7, 7, 7}}, true},
		{"an allocation where there was none",
			pair{"a", "allocs/op", []float64{0, 0, 0, 0, 0, 0}, []float64{1, 1, 1, 1, 1, 1}}, true},
		{"new", pair{"a", "sec/op", nil, quiet}, false},
	} {
		var out bytes.Buffer
		err := verdict(&out, []pair{tt.p})
		if tt.bad {
			require.ErrorIs(t, err, errSlower, tt.name)
			require.Contains(t, out.String(), "WORSE")
		} else {
			require.NoError(t, err, tt.name)
		}
	}
	require.ErrorIs(t, verdict(&bytes.Buffer{}, nil), errNoResults)
}

func TestCheckUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"-rounds: 2":        {"-rounds", "2"},
		"-base: no-such":    {"-base", "no-such"},
		"flag provided but": {"-no-such"},
	} {
		err := checkCommand(t.Context(), args)
		require.ErrorIs(t, err, cli.ErrUsage, want)
		require.ErrorContains(t, err, want)
	}
	require.ErrorIs(t, checkCommand(t.Context(), []string{"-h"}), flag.ErrHelp)
}

func TestSplitName(t *testing.T) {
	for name, want := range map[string][2]string{
		"BenchmarkX/a=1/lib=otter-2":             {"X/a=1-2", "otter"},
		"BenchmarkX/lib=snowfence-lru":           {"X-1", "snowfence-lru"},
		"BenchmarkX/lib=snowfence-lru-16":        {"X-16", "snowfence-lru"},
		"BenchmarkFlight/lib=singleflight-do-12": {"Flight-12", "singleflight-do"},
	} {
		bench, lib, ok := splitName(name)
		require.True(t, ok)
		require.Equal(t, want, [2]string{bench, lib})
	}
	_, _, ok := splitName("BenchmarkX/other-2")
	require.False(t, ok)
	require.True(t, strings.HasPrefix(allLibs, ours))
}
