package deletes

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A store is the values of a node, as the moments at which they were loaded, with the promise of a cache: a delete
// wins over a load under way.
type store struct {
	mu     sync.Mutex
	values map[string]int64
	losses map[string]int // deletes of each key
	clears int
}

func (s *store) drop(es []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range es {
		if e.All {
			clear(s.values)
			s.clears++
		}
		delete(s.values, e.Key)
		s.losses[e.Key]++
	}
}

func (s *store) get(key string, load func() int64) int64 {
	s.mu.Lock()
	v, ok := s.values[key]
	before := s.losses[key] + s.clears
	s.mu.Unlock()
	if ok {
		return v
	}
	v = load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.losses[key]+s.clears == before {
		s.values[key] = v
	}
	return v
}

// Nodes at work, with all methods at the same time: nobody gets a value from before a delete which the asker knew.
func TestConcurrent(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var clock atomic.Int64 // real time, as an order
	keys := []string{"a", "b", "c", "d"}
	type worker struct {
		log   *Log
		store *store
		known sync.Map // key: *atomic.Int64, when its latest delete was made that this node surely knows
	}
	var nodes []*worker
	for i := range 3 {
		s := &store{values: make(map[string]int64), losses: make(map[string]int)}
		w := &worker{store: s}
		w.log = New(Options{
			Run: uint64(i + 1), Max: []int{3, 1000, 5}[i], Apply: s.drop,
			Reset: func() { s.drop([]Entry{{All: true}}) },
		})
		w.log.maxSpans = 4
		for _, key := range keys {
			w.known.Store(key, new(atomic.Int64))
		}
		nodes = append(nodes, w)
	}
	known := func(w *worker, key string) *atomic.Int64 {
		x, _ := w.known.Load(key)
		at, _ := x.(*atomic.Int64)
		return at
	}
	raise := func(x *atomic.Int64, to int64) {
		for old := x.Load(); old < to && !x.CompareAndSwap(old, to); old = x.Load() {
		}
	}
	errs := make(chan error, 100)
	var wg sync.WaitGroup
	for g := range 9 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(g)))
			me := nodes[g%3]
			for range 1500 {
				other, key := nodes[(g+1+rnd.IntN(2))%3], keys[rnd.IntN(len(keys))]
				switch rnd.IntN(8) {
				case 0:
					at := clock.Add(1)
					me.log.Delete(key)
					raise(known(me, key), at)
				case 1:
					if rnd.IntN(10) > 0 {
						continue
					}
					at := clock.Add(1)
					me.log.Clear()
					for _, key := range keys {
						raise(known(me, key), at)
					}
				case 2:
					data, _ := other.log.Message(me.log.Vector(), rnd.IntN(300))
					if _, err := me.log.Merge(data); err != nil {
						errs <- err
						return
					}
				default:
					least := known(me, key).Load()
					after := me.log.After(key)
					if err := other.log.Require(key, after); err != nil {
						errs <- err
						return
					}
					if got := other.store.get(key, func() int64 { return clock.Add(1) }); got < least {
						errs <- fmt.Errorf("node %d got %q loaded at %d from %d, and it was deleted at %d",
							g%3, key, got, other.log.o.Run, least)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	for range 200 {
		quiet := true
		for _, a := range nodes {
			require.NoError(t, a.log.audit())
			for _, b := range nodes {
				if a != b {
					data, _ := a.log.Message(b.log.Vector(), 1<<20)
					_, err := b.log.Merge(data)
					require.NoError(t, err)
					quiet = quiet && b.log.Vector().CoversAll(a.log.Vector())
				}
			}
		}
		if quiet {
			return
		}
	}
	t.Fatal("messages go on and on")
}

// Messages with the same entries that arrive at the same time are applied once.
func TestMergeOnce(t *testing.T) {
	from := newNode(t, 1, nil)
	for i := range 500 {
		from.Delete(strconv.Itoa(i))
	}
	to := newNode(t, 2, nil)
	data, _ := from.Message(Vector{}, 1<<20)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := to.Merge(data); err != nil {
				t.Error(err)
			}
			if !to.Vector().Covers(ID{1, 500}) {
				t.Error("Merge has returned, and it is not applied")
			}
		})
	}
	wg.Wait()
	require.Len(t, to.applied, 500)
	require.Equal(t, from.Vector().of(1), to.Vector().of(1))
}
