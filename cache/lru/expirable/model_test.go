package expirable_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	golang "github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/lru/expirable"
)

// A reference is the API that both libraries have.
type reference = simplelru.LRUCache[int, int]

var _ reference = (*expirable.LRU[int, int])(nil)

// Whatever the operations, this package and golang-lru return the same, have the same entries in
// the same order, and report the same ones before the operation returns. Times are chosen so that
// no operation falls between the end of a TTL and the visit of golang-lru's goroutine.
func TestBesideGolangLRU(t *testing.T) {
	for _, size := range []int{0, 1, 2, 10, 200} {
		for _, ttl := range []time.Duration{0, 75 * time.Millisecond} {
			t.Run(fmt.Sprint(size, " ", ttl), func(t *testing.T) {
				seed := rand.Uint64()
				t.Log("seed", seed)
				synctest.Test(t, func(t *testing.T) {
					play(t, rand.New(rand.NewPCG(seed, 0)), size, ttl)
				})
			})
		}
	}
}

func play(t *testing.T, r *rand.Rand, size int, ttl time.Duration) {
	t.Helper()
	const step = 50 * time.Millisecond
	var left, wantLeft record
	ours := newLRU(t, size, left.add, ttl)
	theirs := golang.NewLRU(size, wantLeft.add, ttl)
	defer end(theirs)
	for i := range 3000 {
		op, key, value := r.IntN(32), r.IntN(10+3*size), r.IntN(100)
		name, got := do(ours, op, size, key, value)
		_, want := do(theirs, op, size, key, value)
		if op == 31 {
			time.Sleep(step)
			synctest.Wait()
		}
		gone, wantGone := left.all(), wantLeft.all()
		if op == 31 || name == "Purge" { // in the random order of a map
			slices.Sort(gone)
			slices.Sort(wantGone)
		}
		if got != want || !slices.Equal(gone, wantGone) || ours.Len() != theirs.Len() {
			t.Fatalf("%d: %s of %d, %d: %s, want %s; left %v, want %v; %d entries, want %d",
				i, name, key, value, got, want, gone, wantGone, ours.Len(), theirs.Len())
		}
		if i%(1+size/10) == 0 {
			require.Equal(t, theirs.Keys(), ours.Keys(), "%d: %s", i, name)
			require.Equal(t, theirs.Values(), ours.Values(), "%d: %s", i, name)
		}
		left.clear()
		wantLeft.clear()
	}
}

func (r *record) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = nil
}

// end ends the goroutine of l, for which golang-lru has no method.
func end(l *golang.LRU[int, int]) {
	done := reflect.ValueOf(l).Elem().FieldByName("done")
	close(*(*chan struct{})(unsafe.Pointer(done.UnsafeAddr())))
}

// do runs an operation, and returns its name and results.
func do(c reference, op, size, key, value int) (name, results string) {
	switch op {
	case 0:
		c.Purge()
		return "Purge", ""
	case 1:
		to := 0
		if size > 0 {
			to = value % (2 * size)
		}
		return "Resize", strconv.Itoa(c.Resize(to))
	case 2, 3:
		return "RemoveOldest", fmt.Sprint(c.RemoveOldest())
	case 4, 5:
		return "GetOldest", fmt.Sprint(c.GetOldest())
	case 6, 7, 8:
		return "Remove", strconv.FormatBool(c.Remove(key))
	case 9, 10:
		return "Contains", strconv.FormatBool(c.Contains(key))
	case 11, 12:
		return "Peek", fmt.Sprint(c.Peek(key))
	case 13, 14, 15, 16, 17, 18:
		return "Get", fmt.Sprint(c.Get(key))
	case 31:
		return "a pause", ""
	default:
		return "Add", strconv.FormatBool(c.Add(key, value))
	}
}
