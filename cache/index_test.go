package cache

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/cache/internal/evict"
)

func indexEntry(hash uint32, key, value int) *entry[int, int] {
	return &entry[int, int]{evict.Node{Hash: hash << hashReserved}, key, value}
}

// An index behaves like a map, even if all hashes are equal.
func TestIndex(t *testing.T) {
	for _, hashes := range []uint32{1, 3, 1 << 30} {
		rapid.Check(t, func(t *rapid.T) {
			x := index[int, int]{fullBuckets: rapid.SampledFrom([]int{0, 1, 20}).Draw(t, "room")}
			hash := func(key int) uint32 { return uint32(key) * 2654435761 % hashes } //nolint:gosec // wraps
			want := map[int]*entry[int, int]{}
			for range rapid.IntRange(1, 300).Draw(t, "steps") {
				key := rapid.IntRange(0, 99).Draw(t, "key")
				e := want[key]
				if got := x.find(hash(key)<<hashReserved, key); got != e {
					t.Fatalf("find(%d) is %v, want %v", key, got, e)
				}
				switch remove := rapid.IntRange(0, 3).Draw(t, "op") == 0; {
				case e == nil:
					want[key] = indexEntry(hash(key), key, 0)
					x.insert(want[key])
				case remove:
					x.remove(e)
					delete(want, key)
				default:
					want[key] = indexEntry(hash(key), key, 1)
					found, at := x.slotOf(hash(key)<<hashReserved, key)
					if found != e {
						t.Fatalf("slotOf(%d) is %v, want %v", key, found, e)
					}
					at.Store(want[key])
				}
				if rapid.IntRange(0, 30).Draw(t, "shrink") == 0 {
					x.rebuild(bucketsFor(x.n))
				}
				if err := x.audit(); err != nil {
					t.Fatal(err)
				}
			}
			seen := 0
			for e := range x.all {
				seen++
				if want[e.key] != e {
					t.Fatalf("all yields %v", e)
				}
			}
			if seen != len(want) || x.n != len(want) {
				t.Fatalf("%d entries seen, %d counted, want %d", seen, x.n, len(want))
			}
		})
	}
}

// A reader that has read a bucket's tags, and finds that the entry of one has left,
// continues with the others.
func TestIndexWhileOneLeaves(t *testing.T) {
	var x index[int, int]
	for key := range 2 { // with the same hash, in one bucket
		x.insert(indexEntry(7, key, 0))
	}
	b := &x.table.Load().buckets[0]
	require.NotNil(t, b.slots[0].Load())
	b.slots[0].Store(nil) // a reader may see remove at this point
	require.Nil(t, x.find(7<<hashReserved, 0))
	require.NotNil(t, x.find(7<<hashReserved, 1))
}

// During writes, a reader finds each entry that stays, and none that was never stored, whichever
// table it reads.
func TestIndexWhileItChanges(t *testing.T) {
	var x index[int, int]
	hash := func(key int) uint32 { // with collisions
		return uint32(key) * 2654435761 % (1 << 10) << 20 //nolint:gosec // wraps
	}
	const steady, moving = 50, 1000
	for key := range steady {
		x.insert(indexEntry(hash(key), key, key))
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for key := range steady {
					if e := x.find(hash(key)<<hashReserved, key); e == nil || e.key != key {
						t.Errorf("key %d: %v", key, e)
						return
					}
					if e := x.find(hash(-1-key)<<hashReserved, -1-key); e != nil {
						t.Errorf("key %d is missing: %v", -1-key, e)
						return
					}
				}
			}
		})
	}
	for range 20 {
		entries := make([]*entry[int, int], moving)
		for i := range entries {
			entries[i] = indexEntry(hash(steady+i), steady+i, 0)
			x.insert(entries[i])
		}
		for key := range steady {
			_, at := x.slotOf(hash(key)<<hashReserved, key)
			at.Store(indexEntry(hash(key), key, 1))
		}
		for _, e := range entries {
			x.remove(e)
			x.shrink()
		}
	}
	close(stop)
	wg.Wait()
	require.NoError(t, x.audit())
	require.Less(t, len(x.table.Load().buckets), 100, "the table shrank")
}

// probes returns the number of buckets that were probed to insert the entries of t.
func (t *table[K, V]) probes() (n int) {
	for at := range t.buckets {
		for slot := range t.buckets[at].slots {
			if e := t.buckets[at].slots[slot].Load(); e != nil {
				n += 1 + (at-t.home(e.Hash&hashMask)+len(t.buckets))%len(t.buckets)
			}
		}
	}
	return n
}

// In whatever order entries leave, the others do not cluster in a part of the table: inserting,
// finding and removing an entry takes a bucket or two. They may also be inserted again in the order
// in which All yields them.
func TestNoPartIsCrowded(t *testing.T) {
	const n = 20_000
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	entries := make([]*entry[int, int], n)
	var full index[int, int]
	for key := range entries {
		entries[key] = indexEntry(r.Uint32()>>hashReserved, key, 0)
		full.insert(entries[key])
	}
	byHash := slices.Clone(entries)
	slices.SortFunc(byHash, func(a, b *entry[int, int]) int { return cmp.Compare(a.Hash, b.Hash) })
	reversed := slices.Clone(byHash)
	slices.Reverse(reversed)
	for name, order := range map[string][]*entry[int, int]{
		"as inserted":      entries,
		"as All yields":    slices.Collect(full.all),
		"by hash":          byHash,
		"by hash, falling": reversed,
	} {
		t.Run(name, func(t *testing.T) {
			var x index[int, int]
			for _, e := range entries {
				x.insert(e)
			}
			seen := x.table.Load()
			for i, e := range order {
				x.remove(e)
				x.shrink()
				if now := x.table.Load(); now != seen {
					seen = now
					require.LessOrEqual(t, now.probes(), maxProbes*x.n, "after %d removals", i+1)
				}
			}
			require.Less(t, len(seen.buckets)*bucketSlots, minShrinkSize, "the table shrank at the end")
			require.NoError(t, x.audit())
		})
	}
	t.Run("inserted as All yields", func(t *testing.T) {
		var x index[int, int]
		for e := range full.all {
			x.insert(e)
			if x.n%500 == 0 {
				require.LessOrEqual(t, x.table.Load().probes(), 2*x.n)
			}
		}
	})
}
