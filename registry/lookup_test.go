package registry

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

func TestLookupAllocatesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a")
		_, err := r.Register(t.Context(), "x", []byte("meta"))
		require.NoError(t, err)
		for _, name := range []string{"x", "nobody has it"} {
			require.Zero(t, testing.AllocsPerRun(1000, func() { r.Lookup(name) }))
		}
	})
}

// Lookup takes no lock: it returns while the partition's lock is held.
func TestLookupTakesNoLock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a")
		_, err := r.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		for _, p := range r.parts {
			p.mu.Lock()
		}
		_, ok := r.Lookup("x")
		require.True(t, ok)
		require.Equal(t, 1, r.Len())
		for _, p := range r.parts {
			p.mu.Unlock()
		}
	})
}

func TestIterators(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		want := make(map[string]string)
		for i := range 100 {
			r := []*Registry{a, b}[i%4/3]
			name := fmt.Sprint("name ", i)
			_, err := r.Register(t.Context(), name, nil)
			require.NoError(t, err)
			want[name] = r.cfg.NodeName
		}
		synctestWait()
		for _, r := range []*Registry{a, b} {
			got := make(map[string]string)
			for c := range r.All() {
				got[c.Name] = c.Node
			}
			require.Equal(t, want, got)
			require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(r.Names()))
			require.Equal(t, map[string]int{"a": 75, "b": 25}, r.CountByNode())
			for range r.Names() {
				break
			}
		}
		var names []string
		for _, g := range b.Registrations() {
			names = append(names, g.Name())
			require.Equal(t, "b", g.Claim().Node)
		}
		require.Len(t, names, 25)
		require.True(t, slices.IsSorted(names))
		require.Len(t, a.Members(), 2)
	})
}

func TestStats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, node := lan.open(t, "a", func(c *Config) { c.Partitions = 1 })
		b, _ := lan.open(t, "b", func(c *Config) { c.Partitions = 1 })
		_, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		s := a.Stats()
		require.Equal(t, 1, s.Names)
		require.Equal(t, 1, s.Registrations)
		require.Equal(t, 2, s.Members)
		require.Equal(t, 1, s.Partitions[0].Queue)
		time.Sleep(time.Millisecond)
		require.Equal(t, time.Millisecond, a.Stats().Partitions[0].QueueAge)
		synctestWait()
		s = a.Stats()
		require.Zero(t, s.Partitions[0].Queue)
		require.Zero(t, s.Partitions[0].QueueAge)
		require.Equal(t, 1, s.Partitions[0].QueueHigh)
		require.Equal(t, uint64(1), s.Partitions[0].Sent.Updates)
		require.NotZero(t, s.Partitions[0].SentBytes)
		in := b.Stats().Partitions[0]
		require.Equal(t, uint64(1), in.Received.Updates)
		require.NotZero(t, in.ReceivedBytes)
		require.NotZero(t, in.InboxHigh)
		require.Equal(t, 1, node.gossiped)
		require.NotZero(t, b.Stats().HeapBytes)
	})
}

// HeapBytes is close to the memory that the tables take.
func TestHeapEstimate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector changes sizes")
	}
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		const names = 50_000
		meta := []byte(strings.Repeat("m", 100))
		measure := func(r *Registry, fill func()) (took, said float64) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			was := r.Stats().HeapBytes
			fill()
			runtime.GC()
			runtime.ReadMemStats(&after)
			return float64(after.HeapAlloc-before.HeapAlloc) / names,
				float64(r.Stats().HeapBytes-was) / names
		}
		lan.split(a, b)
		took, said := measure(a, func() {
			for i := range names {
				_, err := a.Register(t.Context(), fmt.Sprintf("a name that is %08d long", i), meta)
				require.NoError(t, err)
			}
			time.Sleep(time.Second)
		})
		t.Logf("own names: %.0f bytes each, %.0f by the estimate", took, said)
		require.InEpsilon(t, took, said, 0.35)

		// In this process the two nodes share the records and their strings.
		took, said = measure(b, func() {
			lan.heal(a, b)
			time.Sleep(10 * time.Second)
		})
		require.Equal(t, names, b.Len())
		said -= float64(unsafe.Sizeof(replica.Record{})) + 27 + 100
		t.Logf("names of another node, but for the records: %.0f bytes each, %.0f by the estimate", took,
			said)
		require.InEpsilon(t, took, said, 0.35)
	})
}
