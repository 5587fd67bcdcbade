package benchmarks

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/snowfence/snowfence/internal/workload"
	"github.com/stretchr/testify/require"
)

const keyCount = 100_000

var errLoad = errors.New("the load failed")

// loaded returns the result of every load.
func loaded[K keys](_ context.Context, key K) (int, error) { return len(name(key)), nil }

// number returns at once, so that benchmarks measure the library.
func number[K keys](context.Context, K) (int, error) { return 7, nil }

// keyOf returns the key for a number.
func keyOf[K keys](n int) (key K) {
	switch k := any(&key).(type) {
	case *int:
		*k = n
	case *string:
		*k = "user:" + strconv.Itoa(n)
	}
	return key
}

// keysOf returns a fixed set of n keys.
func keysOf[K keys](n int) []K {
	keys := make([]K, n)
	for i := range keys {
		keys[i] = keyOf[K](i)
	}
	return keys
}

// draws returns a fixed sequence of keys, zipf(1.01) over n.
func draws[K keys](tb testing.TB, n int) []K {
	tb.Helper()
	z, err := workload.NewZipf(uint64(n), 1.01) //nolint:gosec // positive
	require.NoError(tb, err)
	r := rand.New(rand.NewPCG(1, 1))
	keys := keysOf[K](n)
	drawn := make([]K, 1<<18)
	for i := range drawn {
		drawn[i] = keys[z.Draw(r)]
	}
	return drawn
}

// each runs a sub-benchmark for each library, and each TTL that it supports.
func each[K keys, V any](
	b *testing.B, ttls []time.Duration, run func(b *testing.B, l library[K, V], ttl time.Duration),
) {
	b.Helper()
	for _, ttl := range ttls {
		for _, l := range libraries[K, V]() {
			if ttl > 0 && !l.timed || !wanted(l.name) {
				continue
			}
			path := "lib=" + l.name
			if len(ttls) > 1 {
				path = "ttl=" + ttl.String() + "/" + path
			}
			b.Run(path, func(b *testing.B) { run(b, l, ttl) })
		}
	}
}

// wanted reports whether to measure a library: all are measured, unless the environment names one.
// compare sets it, so that each library has its own process.
func wanted(lib string) bool {
	only := os.Getenv("BENCHMARK_LIB")
	return only == "" || only == lib
}

var (
	both  = []time.Duration{0, time.Hour}
	plain = []time.Duration{0}
)
