package deletes

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// pair returns a world of two nodes that see each other, and have exchanged messages.
func pair(limits func(*Book)) *world { return newWorld(2, []string{"k"}, limits) }

// ok fails if the world has seen a failure.
func (w *world) ok(t *testing.T) {
	t.Helper()
	w.check()
	require.Empty(t, w.failures)
}

// Without deletes a request carries nothing and a message is as small as can be, however many
// processes have made deletes and left.
func TestNothingIsLeftOfWhoHasLeft(t *testing.T) {
	w := newWorld(3, []string{"k"}, nil)
	w.get(w.nodes[0], "k")
	w.get(w.nodes[1], "k")
	idle := func() int { return len(w.nodes[0].book.Message(w.nodes[1].incarnation(), w.size)) }
	quiet := func() {
		for range 2 {
			w.exchange(0, 1)
			w.exchange(1, 2)
			w.exchange(0, 2)
		}
	}
	quiet()
	before := idle()
	processes := 1100
	if testing.Short() {
		processes = 100
	}
	for range processes {
		w.restart(2, true)
		w.see(0)
		w.see(1)
		w.nodes[2].book.Delete("other")
		w.nodes[2].known = 0
		w.get(w.nodes[2], "k")
		quiet()
	}
	w.restart(2, true)
	w.see(0)
	w.see(1)
	quiet()
	require.Equal(t, 13, before)
	require.LessOrEqual(t, idle(), before+2, "bytes without news; the versions are longer numbers")
	require.Zero(t, w.clears())
	for _, n := range w.nodes {
		require.Len(t, n.book.peers, 2)
		require.LessOrEqual(t, len(n.book.entries), maxSpare+1)
		require.LessOrEqual(t, len(n.book.origins), maxSpare+maxHandedOver+3)
		require.Nil(t, n.book.After(w.nodes[(n.name+1)%3].incarnation(), "other"))
	}
	require.Len(t, w.nodes[0].store, 1, "no node has deleted it")
}

// Rolling restarts make no node clear its cache, and each process that has gone costs one entry.
func TestRollingRestarts(t *testing.T) {
	const nodes = 4
	restarts := 600
	if testing.Short() {
		restarts = 60
	}
	w := newWorld(nodes, []string{"k"}, nil)
	for i := range restarts {
		w.restart(i%nodes, true)
		for j, n := range w.nodes {
			w.see(j)
			w.get(n, "k")
		}
		w.nodes[i%nodes].book.Delete("other")
		for j := range nodes * nodes {
			if j/nodes != j%nodes {
				w.exchange(j/nodes, j%nodes)
			}
		}
		require.Zero(t, w.clears())
	}
	for _, n := range w.nodes {
		handovers := 0
		for _, e := range n.book.entries {
			if e.Kind == handover {
				handovers++
			}
		}
		require.LessOrEqual(t, handovers, len(n.book.entries)/2+1)
		require.LessOrEqual(t, len(n.book.peers), nodes)
	}
}

// A node that has missed more deletes than are remembered clears its cache, and no other one does.
func TestMissedTooMany(t *testing.T) {
	w := newWorld(3, []string{"k"}, func(b *Book) { b.o.Max = 100 })
	for _, n := range w.nodes {
		w.get(n, "k")
	}
	w.cut = 3
	w.see(0)
	w.see(1)
	w.see(2)
	for i := range 300 {
		w.nodes[0].book.Delete(strconv.Itoa(i))
		w.exchange(0, 1)
	}
	require.LessOrEqual(t, len(w.nodes[0].book.entries), 100)
	w.nodes[2].book.Delete("x")
	w.cut = 0
	for i := range w.nodes {
		w.see(i)
	}
	after := w.nodes[1].book.After(w.nodes[2].incarnation(), "k")
	require.NotNil(t, after, "it may have missed a delete of any key")
	w.exchange(1, 2)
	w.exchange(0, 2)
	w.exchange(0, 1)
	for i, n := range w.nodes {
		require.EqualValues(t, i/2, n.book.Stats().Resets)
		require.Len(t, n.store, 1-i/2)
		require.False(t, w.nodes[0].book.Lacks(n.incarnation()) && i > 0)
	}
}

// A node that starts has nothing to clear.
func TestStartClearsNothing(t *testing.T) {
	w := pair(noSpare)
	for i := range 10 {
		w.nodes[0].book.Delete(strconv.Itoa(i))
	}
	w.exchange(0, 1)
	require.Empty(t, w.nodes[0].book.entries, "all have applied them")
	w.restart(1, true)
	require.Zero(t, w.clears())
	require.EqualValues(t, 10, w.nodes[1].book.origin(w.nodes[0].incarnation()).applied)
	w.ok(t)
}

// A node that lacks a tag's delete drops the key until the message comes, since only nodes with a
// value know its tags. A delete of the key has the same effect, and one of another key has none.
func TestRequire(t *testing.T) {
	w := pair(nil)
	a, b := w.nodes[0], w.nodes[1]
	w.get(b, "k")
	a.book.Delete("other")
	require.Nil(t, a.book.After(b.incarnation(), "k"))
	for _, change := range []func(){
		func() { a.book.InvalidateTag("t") }, func() { a.book.Delete("k") }, func() { a.book.Clear() },
	} {
		change()
		after := a.book.After(b.incarnation(), "k")
		require.Len(t, after, 1+9+9)
		for range 2 {
			w.get(b, "k")
			dropped, err := b.book.Require("k", after)
			require.NoError(t, err)
			require.True(t, dropped)
			require.Empty(t, b.store)
		}
		w.exchange(0, 1)
		require.Nil(t, a.book.After(b.incarnation(), "k"))
		w.get(b, "k")
		dropped, err := b.book.Require("k", after)
		require.NoError(t, err)
		require.False(t, dropped)
		require.Len(t, b.store, 1)
	}
	require.NotNil(t, a.book.After(77, "k"), "a node that was never seen may have missed it")
}

// A request that would have too many marks requires that the whole log was applied.
func TestAfterIsBounded(t *testing.T) {
	w := pair(nil)
	for i := range maxMarks + 2 {
		o := newWorld(1, []string{"k"}, nil).nodes[0]
		o.book.o.Self = uint64(1000 + i)
		o.book.Clear()
		_, err := w.nodes[0].book.Answer("x", o.book.Message(w.nodes[0].incarnation(), w.size), w.size)
		require.NoError(t, err)
	}
	data := w.nodes[0].book.After(w.nodes[1].incarnation(), "k")
	require.Equal(t, encodeAfter([]mark{{1, w.nodes[0].book.lastShown()}}), data)
	w.get(w.nodes[1], "k")
	dropped, err := w.nodes[1].book.Require("k", data)
	require.NoError(t, err)
	require.True(t, dropped)
	require.Empty(t, w.nodes[1].store)
}

// Messages that are cut get everything through in order.
func TestCutMessages(t *testing.T) {
	w := pair(nil)
	w.size = 150
	var want []Delete
	for i := range 300 {
		w.nodes[0].book.Delete(fmt.Sprintf("key-%03d", i))
		want = append(want, Delete{Key, fmt.Sprintf("key-%03d", i)})
	}
	require.Less(t, len(w.nodes[0].book.Message(w.nodes[1].incarnation(), w.size)), 150+60)
	var got []Delete
	w.nodes[1].book.o.Apply = func(list []Delete) { got = append(got, list...) }
	for range 10 {
		w.exchange(1, 0)
	}
	require.Equal(t, want, got)
	w.ok(t)
}

// The lowest incarnation alone hands over, which costs one entry in the cluster.
func TestTheLowestHandsOver(t *testing.T) {
	w := newWorld(4, []string{"k"}, nil)
	w.nodes[3].book.Delete("k")
	left := w.nodes[3].incarnation()
	w.exchange(3, 0)
	w.restart(3, false)
	w.rest()
	w.ok(t)
	for i, n := range w.nodes {
		require.EqualValues(t, 1, n.book.origin(left).handed)
		require.Equal(t, i == 0, n.book.origin(n.incarnation()).applied > 0, "%d", i)
	}
}

// A node that knows a handover need not reset for the deletes that it stands for.
func TestWhatWasHandedOverIsNotMissed(t *testing.T) {
	w := newWorld(3, []string{"k"}, noSpare)
	w.cut = 3
	w.see(0)
	w.see(1)
	w.nodes[0].book.Left(3)
	w.nodes[1].book.Left(3)
	w.nodes[1].book.maxSpare = 1
	of := message{from: 5, entries: []entry{{mark{5, 1}, Delete{Key, "other"}, 0}}}
	for _, n := range w.nodes[:2] {
		_, err := n.book.Answer("5", of.encode(), w.size)
		require.NoError(t, err)
		n.book.Left(5)
	}
	w.exchange(0, 1)
	w.exchange(1, 0)
	require.Empty(t, w.nodes[0].book.entries)
	require.Len(t, w.nodes[1].book.entries, 1, "the handover")
	w.cut = 0
	w.restart(2, false)
	w.exchange(2, 0)
	w.get(w.nodes[2], "k")
	w.exchange(2, 1)
	require.Zero(t, w.clears())
	w.ok(t)
}

// Goroutines delete, ask and exchange messages at the same time. In the end all nodes have all
// deletes.
func TestAtTheSameTime(t *testing.T) {
	const nodes, each = 3, 200
	w := newWorld(nodes, []string{"k"}, nil)
	var mu [nodes]sync.Mutex // guards the seen of one node
	var seen [nodes][]Delete
	for i, n := range w.nodes {
		n.book.o.Apply = func(list []Delete) {
			mu[i].Lock()
			defer mu[i].Unlock()
			seen[i] = append(seen[i], list...)
		}
	}
	var wg sync.WaitGroup
	for i, n := range w.nodes {
		for part := range 2 {
			wg.Go(func() {
				for k := range each {
					n.book.Delete(fmt.Sprintf("%d-%d-%d", i, part, k))
				}
			})
		}
		for j, o := range w.nodes {
			if i == j {
				continue
			}
			wg.Go(func() {
				for range each {
					_, _ = o.book.Require("x", n.book.After(o.incarnation(), "x"))
					answer, err := o.book.Answer("n", n.book.Message(o.incarnation(), 300), 300)
					if err == nil {
						_, err = n.book.Merge(o.incarnation(), answer)
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for i := range w.nodes {
		for j := range w.nodes {
			if i != j {
				w.exchange(i, j)
			}
		}
	}
	for i, n := range w.nodes {
		for j, o := range w.nodes {
			require.EqualValues(t, 2*each, n.book.origin(o.incarnation()).applied, "%d of %d", j, i)
		}
		keys := make(map[string]int)
		for _, d := range slices.DeleteFunc(seen[i], func(d Delete) bool { return d.Key == "x" }) {
			keys[d.Key]++
		}
		require.Len(t, keys, nodes*2*each)
		for key, times := range keys {
			require.Equal(t, 1, times, key)
		}
	}
}
