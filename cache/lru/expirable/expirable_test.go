package expirable_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/lru/expirable"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// newLRU makes an LRU that is closed at the end of the test.
func newLRU(
	tb testing.TB, size int, onEvict expirable.EvictCallback[int, int], ttl time.Duration,
) *expirable.LRU[int, int] {
	tb.Helper()
	l := expirable.NewLRU(size, onEvict, ttl)
	tb.Cleanup(func() { require.NoError(tb, l.Close()) })
	return l
}

// A record holds the keys that were reported. The goroutine of the cache writes to it, too.
type record struct {
	mu   sync.Mutex
	keys []int
}

func (r *record) add(key, _ int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, key)
}

func (r *record) all() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.keys)
}

func TestSizes(t *testing.T) {
	for _, size := range []int{0, -1} {
		l := newLRU(t, size, nil, 0)
		for key := range 5000 {
			require.False(t, l.Add(key, key))
		}
		require.Equal(t, 5000, l.Len())
		require.Zero(t, l.Cap())
		require.Equal(t, 4990, l.Resize(10))
		require.Equal(t, 10, l.Cap())
		require.True(t, l.Add(0, 0))
		require.Zero(t, l.Resize(-1))
		require.Zero(t, l.Cap())
		require.False(t, l.Add(1, 1))
	}
}

// An entry is gone for all methods when its TTL ends, whether it was swept or not, and room is
// taken from it first.
func TestExpiredEntriesAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = time.Hour
		var left record
		l := newLRU(t, 3, left.add, ttl)
		l.Add(0, 0)
		l.RemoveOldest()
		left.keys = nil
		time.Sleep(time.Second / 2) // so that the sweep of every second always comes later
		l.Add(1, 1)
		time.Sleep(ttl / 2)
		l.Add(2, 2)
		l.Add(3, 3)
		l.Get(1)
		time.Sleep(ttl/2 - time.Nanosecond)
		require.True(t, l.Contains(1))
		require.Equal(t, []int{2, 3, 1}, l.Keys())
		time.Sleep(time.Nanosecond)
		require.False(t, l.Contains(1))
		_, ok := l.Peek(1)
		require.False(t, ok)
		_, ok = l.Get(1)
		require.False(t, ok)
		require.False(t, l.Add(4, 4), "evicts what has expired")
		require.Equal(t, []int{1}, left.all())
		require.Equal(t, []int{2, 3, 4}, l.Keys())
		time.Sleep(ttl / 2)
		require.False(t, l.Remove(2))
		require.Equal(t, []int{1, 2}, left.all(), "reported by Remove")
		key, value, ok := l.GetOldest()
		require.True(t, ok)
		require.Equal(t, [2]int{4, 4}, [2]int{key, value})
		require.Equal(t, []int{1, 2, 3}, left.all(), "reported by GetOldest")
		require.Equal(t, 1, l.Len())
		require.Equal(t, []int{4}, l.Values())
		time.Sleep(ttl / 2)
		_, _, ok = l.RemoveOldest()
		require.False(t, ok)
		require.Zero(t, l.Resize(1))
		require.Equal(t, []int{1, 2, 3, 4}, left.all())
	})
}

// Nobody has to use the LRU for an entry to be reported when it has expired, within the time that
// the package's comment states.
func TestSweep(t *testing.T) {
	for ttl, within := range map[time.Duration]time.Duration{
		time.Nanosecond:       3 * time.Millisecond, // two ticks of the store, and the pause
		10 * time.Millisecond: 3 * time.Millisecond,
		time.Second:           12 * time.Millisecond,
		time.Hour:             time.Second + time.Millisecond,
	} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				expired := make(chan int, 1)
				l := newLRU(t, 0, func(key, _ int) { expired <- key }, ttl)
				began := time.Now()
				l.Add(1, 1)
				require.Equal(t, 1, <-expired)
				require.GreaterOrEqual(t, time.Since(began), ttl)
				require.LessOrEqual(t, time.Since(began), ttl+within)
			})
		})
	}
}

// Whoever sees that an entry has expired sees what the callback did.
func TestCallbackOfTheSweepIsWaitedFor(t *testing.T) {
	for name, look := range map[string]func(l *expirable.LRU[int, int]){
		"Len":          func(l *expirable.LRU[int, int]) { assert.Zero(t, l.Len()) },
		"Keys":         func(l *expirable.LRU[int, int]) { assert.Empty(t, l.Keys()) },
		"Values":       func(l *expirable.LRU[int, int]) { assert.Empty(t, l.Values()) },
		"GetOldest":    func(l *expirable.LRU[int, int]) { l.GetOldest() },
		"RemoveOldest": func(l *expirable.LRU[int, int]) { l.RemoveOldest() },
		"Resize":       func(l *expirable.LRU[int, int]) { assert.Zero(t, l.Resize(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			reported := false
			began, release := make(chan struct{}), make(chan struct{})
			l := newLRU(t, 2, func(int, int) {
				close(began)
				<-release
				reported = true
			}, time.Millisecond)
			l.Add(1, 1)
			<-began // the callback, in the goroutine of the cache
			require.False(t, l.Contains(1), "does not wait")
			looked := make(chan struct{})
			go func() {
				defer close(looked)
				look(l)
				assert.True(t, reported)
			}()
			for range 100 {
				runtime.Gosched()
			}
			close(release)
			<-looked
		})
	}
}

// Callbacks run one at a time, so they may use variables that nothing else guards.
func TestCallbacksRunOneAtATime(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	calls := map[int]int{}
	l := newLRU(t, 10, func(key, _ int) { calls[key]++ }, time.Millisecond)
	const workers, steps = 4, 2000
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w))) //nolint:gosec // small
			for i := range steps {
				l.Add(w*steps+i, i)
				switch r.IntN(20) {
				case 0:
					l.Purge()
				case 1, 2:
					l.Remove(w*steps + i)
				case 3:
					assert.LessOrEqual(t, l.Len(), 10)
				}
			}
		})
	}
	wg.Wait()
	l.Purge()
	require.NoError(t, l.Close()) // for the goroutine
	require.Len(t, calls, workers*steps)
	for key, n := range calls {
		require.Equal(t, 1, n, strconv.Itoa(key))
	}
}

// What Fetch loads has the TTL, and evicts the oldest.
func TestFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left record
		l := newLRU(t, 2, left.add, time.Minute)
		loads := 0
		fetch := func(key int) {
			v, err := l.Fetch(t.Context(), key, func(context.Context, int) (int, error) {
				loads++
				return -key, nil
			})
			require.NoError(t, err)
			require.Equal(t, -key, v)
		}
		for _, key := range []int{1, 2, 1, 3, 1} {
			fetch(key)
		}
		require.Equal(t, 3, loads)
		require.Equal(t, []int{2}, left.all())
		time.Sleep(time.Minute)
		fetch(1)
		require.Equal(t, 4, loads)
		require.Equal(t, []int{1}, l.Keys())
		require.ElementsMatch(t, []int{2, 1, 3}, left.all())
	})
}

// A panic of the callback is an error of the Fetch that evicted the entry.
func TestCallbackThatPanicsInAFetch(t *testing.T) {
	panics := true
	l := newLRU(t, 1, func(int, int) {
		if panics {
			panics = false
			panic("no")
		}
	}, 0)
	l.Add(1, 1)
	get := func(context.Context, int) (int, error) { return 2, nil }
	_, err := l.Fetch(t.Context(), 2, get)
	var p *courier.PanicError
	require.ErrorAs(t, err, &p)
	v, err := l.Fetch(t.Context(), 2, get)
	require.NoError(t, err)
	require.Equal(t, 2, v)
}

// SetTTL gives an entry a TTL of its own, also where the others do not expire.
func TestSetTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left record
		l := newLRU(t, 0, left.add, 0)
		l.Add(1, 1)
		l.SetTTL(2, 2, time.Minute)
		time.Sleep(time.Minute)
		require.Equal(t, []int{1}, l.Keys())
		require.Equal(t, []int{2}, left.all())
		time.Sleep(time.Hour)
		require.Equal(t, 1, l.Len())
	})
}

// Close stops the goroutine, and reports what is left.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left record
		l := expirable.NewLRU(0, left.add, time.Minute)
		l.Add(1, 1)
		require.NoError(t, l.Close())
		require.Equal(t, []int{1}, left.all())
		require.False(t, l.Add(2, 2))
		require.Zero(t, l.Len())
	})
}
