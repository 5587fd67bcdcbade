package trace_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/trace"
)

var update = flag.Bool("update", false, "write the traces in testdata/traces anew")

const tracesDir = "../../testdata/traces"

// smallTraces returns the small traces by file name. They are made from fixed seeds and with
// integers only, so they are the same on every machine.
func smallTraces() map[string][]byte {
	return map[string][]byte{"small.arc": smallARC(), "small.csv": smallCSV(),
		"small.keys": smallKeys()}
}

// A harmonic draws a rank in 1..len(h), rank i with a weight of 1/i: zipf with skew 1.
type harmonic []uint64

func newHarmonic(n int) harmonic {
	h := make(harmonic, n)
	sum := uint64(0)
	for i := range h {
		sum += (1 << 32) / uint64(i+1)
		h[i] = sum
	}
	return h
}

func (h harmonic) draw(r *rand.Rand) uint64 {
	x := r.Uint64N(h[len(h)-1])
	lo, hi := 0, len(h)-1
	for lo < hi {
		if mid := (lo + hi) / 2; h[mid] > x {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return uint64(lo + 1)
}

// smallARC returns 20,000 requests: 14,000 single ones, zipf over 3,000 keys that a multiplication
// scatters, with 24 scans of 250 neighbouring keys in between.
func smallARC() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	ranks := newHarmonic(3000)
	var b bytes.Buffer
	for line := 1; line <= 14_000; line++ {
		fmt.Fprintf(&b, "%d 1 0 %d\n", ranks.draw(r)*2_654_435_761%1_000_003, line)
		if line%583 == 0 {
			fmt.Fprintf(&b, "%d 250 0 %d\n", 2_000_000+r.Uint64N(20)*250, line)
		}
	}
	return b.Bytes()
}

func smallCSV() []byte {
	r := rand.New(rand.NewPCG(3, 4))
	ranks := newHarmonic(100)
	b := bytes.NewBufferString("time_ms,op,key,size\n")
	at := uint64(0)
	for range 500 {
		at += 1 + r.Uint64N(9)
		op := "get"
		if r.Uint64N(10) == 0 {
			op = "set"
		}
		fmt.Fprintf(b, "%d,%s,user:%d,%d\n", at, op, ranks.draw(r), 64+r.Uint64N(1000))
	}
	return b.Bytes()
}

func smallKeys() []byte {
	r := rand.New(rand.NewPCG(5, 6))
	ranks := newHarmonic(100)
	var b bytes.Buffer
	for range 500 {
		fmt.Fprintf(&b, "/item/%d\n", ranks.draw(r))
	}
	return b.Bytes()
}

func TestSmallTracesAreUpToDate(t *testing.T) {
	for name, want := range smallTraces() {
		path := filepath.Join(tracesDir, name)
		if *update {
			require.NoError(t, os.WriteFile(path, want, 0o644))
		}
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got),
			"%s differs from what its generator makes; run go test ./internal/trace -run Small -update",
			name)
		require.Less(t, len(got), 300_000)
	}
}

func TestSmallTracesLoad(t *testing.T) {
	for _, tt := range []struct {
		name     string
		format   trace.Format
		requests int
		keys     int
		request  string // the 1,000th of small.arc, the 100th of the others
		index    int
	}{
		{"small.arc", trace.ARC, 20_000, 5853, "427799", 999},
		{"small.csv", trace.CSV, 500, 85, "user:13", 99},
		{"small.keys", trace.Keys, 500, 87, "/item/40", 99},
	} {
		got, err := trace.Load(filepath.Join(tracesDir, tt.name), trace.Options{})
		require.NoError(t, err)
		require.Equal(t, tt.format, got.Format)
		require.Equal(t, tt.requests, got.Len())
		require.Len(t, got.Keys, tt.keys)
		require.Equal(t, tt.request, got.Key(tt.index))
	}
}
