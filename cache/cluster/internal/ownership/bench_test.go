package ownership

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
)

var benchMembers = []string{"a", "b", "c", "d", "e"}

func BenchmarkOwner(b *testing.B) {
	for _, kind := range []struct {
		name string
		make func(Config) Owners
	}{{"key", NewKeys}, {"slot", NewSlots}, {"ring", NewRing}} {
		r := openRegistry(b, "a")
		has := new(entries)
		u := openOwners(b, kind.make, Config{
			Registry: r, IdleRelease: time.Hour, Settle: time.Hour, Has: has.has,
		})
		u.SetMembers(benchMembers)
		for _, held := range []bool{false, true} {
			if held && kind.name == "ring" {
				continue
			}
			if held {
				u.SetMembers([]string{"a"})
				has.set(u, true, "user:123456")
				soon(b, "it is held", func() bool { return u.Stats().Held == 1 })
				u.SetMembers(benchMembers)
			}
			b.Run(fmt.Sprintf("%s/held=%v", kind.name, held), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					u.Owner("user:123456")
				}
			})
		}
	}
}

// BenchmarkLook measures a look at the slots, which each node takes once a round.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{1024, 65536} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := openOwners(b, newSlots, Config{Registry: openRegistry(b, "a"), Slots: n, Round: time.Hour})
			s.SetMembers([]string{"a"})
			v, _ := s.round(false)
			s.claimOpen(v)
			s.SetMembers(benchMembers)
			b.ReportAllocs()
			for b.Loop() {
				s.round(false)
			}
		})
	}
}

func BenchmarkClaimAndRelease(b *testing.B) {
	k := openOwners(b, newKeys, Config{Registry: openRegistry(b, "a")})
	k.SetMembers(benchMembers)
	b.ReportAllocs()
	for b.Loop() {
		k.claims.claim("user:123456")
		for !k.claims.release("user:123456") {
			runtime.Gosched()
		}
	}
}

// BenchmarkComeAndGo measures the eviction and the next load of a key.
func BenchmarkComeAndGo(b *testing.B) {
	has := new(entries)
	k := openOwners(b, newKeys, Config{Registry: openRegistry(b, "a"), Has: has.has})
	k.SetMembers([]string{"a"})
	has.set(k, true, "user:123456")
	soon(b, "it is held", func() bool { return k.Stats().Held == 1 })
	b.ReportAllocs()
	for b.Loop() {
		has.set(k, false, "user:123456")
		has.set(k, true, "user:123456")
	}
}

// BenchmarkHeap measures the cost of names: the heap of each on its owner, beside that of a bare
// registration, and on each other node, and the time to claim them, to send them to a node that
// joins, and to release them. With -benchtime 1000000x it measures a million keys.
func BenchmarkHeap(b *testing.B) {
	for _, kind := range []struct {
		name string
		make func(Config) Owners
	}{{"bare", nil}, {"key", NewKeys}, {"slot", NewSlots}} {
		b.Run(kind.name, func(b *testing.B) {
			n := b.N
			if kind.name == "slot" {
				n = 1024
			}
			ra := openRegistry(b, "a")
			before := heap()
			begun := time.Now()
			var u Owners
			switch kind.name {
			case "bare":
				for i := range n {
					_, err := ra.Register(b.Context(), "cache/test/key/user:"+strconv.Itoa(i), nil)
					require.NoError(b, err)
				}
			default:
				has := new(entries)
				u = openOwners(b, kind.make, Config{
					Registry: ra, IdleRelease: time.Hour, Has: has.has,
					Slots: n, Settle: time.Nanosecond, Round: time.Millisecond,
				})
				u.SetMembers([]string{"a"})
				for i := range n {
					if kind.name == "key" {
						for i-ra.Len() >= maxWaiting/2 {
							time.Sleep(time.Millisecond)
						}
						has.set(u, true, "user:"+strconv.Itoa(i))
					}
				}
			}
			soon(b, "all are held", func() bool { return ra.Len() == n })
			b.ReportMetric(float64(time.Since(begun).Microseconds())/float64(n), "claim-µs/name")
			owner := heap()
			b.ReportMetric(perName(owner, before, n), "owner-B/name")

			begun = time.Now()
			rb, err := registry.Open(b.Context(), registry.Config{
				NodeName: "b", Seeds: []string{ra.Addr()}, SyncTimeout: time.Minute,
			})
			require.NoError(b, err)
			defer func() { require.NoError(b, rb.Close()) }()
			require.Eventually(b, func() bool { return rb.Len() == n }, time.Minute, time.Millisecond)
			b.ReportMetric(float64(time.Since(begun).Milliseconds()), "join-ms")
			b.ReportMetric(perName(heap(), owner, n), "other-B/name")
			if u != nil {
				begun = time.Now()
				require.NoError(b, u.Close(b.Context()))
				b.ReportMetric(float64(time.Since(begun).Microseconds())/float64(n), "release-µs/name")
			}
			b.ReportMetric(0, "ns/op")
			runtime.KeepAlive(ra)
		})
	}
}

func perName(after, before uint64, n int) float64 {
	return float64(int64(after)-int64(before)) / float64(n) //nolint:gosec // heaps are small
}

func heap() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
