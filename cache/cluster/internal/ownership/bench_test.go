package ownership

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func BenchmarkOwner(b *testing.B) {
	for name, kind := range map[string]func(Config) Units{"key": NewKeys, "slot": NewSlots, "ring": NewRing} {
		r := openRegistry(b, "a")
		u := openUnits(b, kind, Config{Registry: r, Slots: 1024, IdleRelease: time.Hour})
		u.SetMembers([]string{"a", "b", "c", "d", "e"})
		for _, held := range []bool{false, true} {
			if held {
				_, err := u.Claim(b.Context(), "some key")
				require.NoError(b, err)
			}
			b.Run(fmt.Sprintf("%s/held=%v", name, held), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					u.Owner("some key")
				}
			})
		}
	}
}

// BenchmarkClaim claims keys, and reports the heap that each takes on the owner, with the registry's share.
func BenchmarkClaim(b *testing.B) {
	r := openRegistry(b, "a")
	u := openUnits(b, NewKeys, Config{Registry: r, IdleRelease: time.Hour})
	u.SetMembers([]string{"a"})
	before := heap()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		_, err := u.Claim(b.Context(), "user:"+strconv.Itoa(n))
		require.NoError(b, err)
		n++
	}
	b.StopTimer()
	b.ReportMetric(float64(int64(heap())-int64(before))/float64(n), "heap-B/key") //nolint:gosec // heaps are small
	runtime.KeepAlive(u)
}

func heap() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
