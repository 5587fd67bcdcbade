package lru_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	golang "github.com/hashicorp/golang-lru/v2"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/lru"
)

// A reference is the API that both libraries have.
type reference interface {
	Add(key, value int) bool
	Get(key int) (int, bool)
	Contains(key int) bool
	Peek(key int) (int, bool)
	ContainsOrAdd(key, value int) (bool, bool)
	PeekOrAdd(key, value int) (int, bool, bool)
	Remove(key int) bool
	Resize(size int) int
	RemoveOldest() (int, int, bool)
	GetOldest() (int, int, bool)
	Keys() []int
	Values() []int
	Len() int
	Purge()
}

var (
	_ reference = (*lru.Cache[int, int])(nil)
	_ reference = (*golang.Cache[int, int])(nil)
)

// Whatever the operations, this package and golang-lru return the same, have the same entries in
// the same order, and report the same ones before the operation returns.
func TestBesideGolangLRU(t *testing.T) {
	for _, size := range []int{1, 2, 3, 10, 700} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			seed := rand.Uint64()
			t.Log("seed", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			script := make([]byte, 3*max(5000, 10*size))
			for i := range script {
				script[i] = byte(r.IntN(256))
			}
			play(t, size, script)
		})
	}
}

func FuzzBesideGolangLRU(f *testing.F) {
	f.Add(1, []byte{0, 1, 1, 0, 2, 2, 12, 0, 0})
	f.Add(2, []byte("Add, Get, Resize, RemoveOldest, Purge and what else there is"))
	f.Fuzz(func(t *testing.T, size int, script []byte) { play(t, 1+abs(size)%100, script) })
}

func abs(n int) int { return max(n, -(n + 1)) }

// play runs script, three bytes for each operation, with both libraries.
func play(t *testing.T, size int, script []byte) {
	t.Helper()
	var left, wantLeft [][2]int
	ours := newCache(t, size, func(key, value int) { left = append(left, [2]int{key, value}) })
	theirs, err := golang.NewWithEvict(size, func(key, value int) {
		wantLeft = append(wantLeft, [2]int{key, value})
	})
	require.NoError(t, err)
	for step := 0; len(script) >= 3; step++ {
		op, key, value := script[0], int(script[1]), int(script[2])
		if size > 100 {
			key = key<<2 | value&3
		}
		script = script[3:]
		left, wantLeft = nil, nil
		name, got := do(ours, op, size, key, value)
		_, want := do(theirs, op, size, key, value)
		if name == "Purge" { // in the random order of a map
			slices.SortFunc(left, byKey)
			slices.SortFunc(wantLeft, byKey)
		}
		if got != want || !slices.Equal(left, wantLeft) || ours.Len() != theirs.Len() {
			t.Fatalf("step %d: %s of %d, %d: %s, want %s; left %v, want %v; %d entries, want %d",
				step, name, key, value, got, want, left, wantLeft, ours.Len(), theirs.Len())
		}
		if step%(1+size/10) == 0 || len(script) < 3 {
			require.Equal(t, theirs.Keys(), ours.Keys(), "step %d: %s", step, name)
			require.Equal(t, theirs.Values(), ours.Values(), "step %d: %s", step, name)
		}
	}
}

func byKey(a, b [2]int) int { return a[0] - b[0] }

// do runs an operation, and returns its name and results.
func do(c reference, op byte, size, key, value int) (name, results string) {
	switch op % 32 {
	case 0:
		c.Purge()
		return "Purge", ""
	case 1:
		to := 1 + value%(2*size)
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
	case 13, 14, 15:
		return "ContainsOrAdd", fmt.Sprint(c.ContainsOrAdd(key, value))
	case 16, 17, 18:
		return "PeekOrAdd", fmt.Sprint(c.PeekOrAdd(key, value))
	case 19, 20, 21, 22, 23, 24:
		return "Get", fmt.Sprint(c.Get(key))
	default:
		return "Add", strconv.FormatBool(c.Add(key, value))
	}
}
