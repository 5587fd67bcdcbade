package deletes

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A testNode is a Log with a record of what was applied.
type testNode struct {
	*Log
	mu      sync.Mutex
	applied []Entry
	resets  int
	now     time.Duration
	during  func([]Entry) // called when some are being applied
}

func newNode(tb testing.TB, run uint64, set func(*Options)) *testNode {
	tb.Helper()
	n := &testNode{now: time.Hour}
	o := Options{
		Run: run,
		Apply: func(es []Entry) {
			n.mu.Lock()
			n.applied = append(n.applied, es...)
			n.mu.Unlock()
			if n.during != nil {
				n.during(es)
			}
		},
		Reset: func() {
			n.mu.Lock()
			n.resets++
			n.mu.Unlock()
			if n.during != nil {
				n.during(nil)
			}
		},
		Now: func() time.Duration { return n.now },
	}
	if set != nil {
		set(&o)
	}
	n.Log = New(o)
	tb.Cleanup(func() { require.NoError(tb, n.audit()) })
	return n
}

// tell gives to all that from has, in messages of the given size.
func tell(tb testing.TB, from, to *testNode, maxBytes int) {
	tb.Helper()
	for n := 1; ; n++ {
		require.Less(tb, n, 100_000, "messages go on and on")
		data, more := from.Message(to.Vector(), maxBytes)
		theirs, err := to.Merge(data)
		require.NoError(tb, err)
		require.Equal(tb, from.Vector(), theirs)
		if !more {
			require.True(tb, to.Vector().CoversAll(theirs), "%+v, %+v", to.Vector(), theirs)
			return
		}
	}
}

func TestAfter(t *testing.T) {
	n := newNode(t, 1, nil)
	require.Nil(t, n.After("a"))
	a := n.Delete("a")
	require.Equal(t, ID{1, 1}, a)
	require.Nil(t, n.After("b"))
	require.Equal(t, appendItem(nil, afterKey, a), n.After("a"))
	again := n.Delete("a")
	require.Equal(t, ID{1, 2}, again)
	require.Equal(t, appendItem(nil, afterKey, again), n.After("a"), "the later delete stands for the earlier")

	other := newNode(t, 2, nil)
	theirs := other.Delete("a")
	tell(t, other, n, 1<<20)
	both := appendItem(appendItem(nil, afterKey, again), afterKey, theirs)
	require.Equal(t, both, n.After("a"))
	clearing := other.Clear()
	tell(t, other, n, 1<<20)
	both = appendItem(appendItem(nil, afterKey, again), afterClear, clearing)
	require.Equal(t, both, n.After("a"), "their clear stands for their delete")
	require.Equal(t, appendItem(nil, afterClear, clearing), n.After("b"))

	own := n.Clear()
	require.Equal(t, appendItem(nil, afterClear, own), n.After("a"), "a clear was made after all that was known")
	require.Equal(t, Stats{Entries: 1, Runs: 2, Made: 3, Applied: 2}, n.Stats())
}

func TestAfterAllocates(t *testing.T) {
	n := newNode(t, 1, nil)
	get := func(key string) float64 { return testing.AllocsPerRun(100, func() { n.After(key) }) }
	require.Zero(t, get("a"))
	n.Delete("a")
	require.Zero(t, get("a"))
	require.Zero(t, get("b"))
	after := n.After("a")
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = n.Require("a", after) }))
	n.Clear()
	require.Zero(t, get("b"))
}

// A delete is told by After while it is being applied, and by Vector when it is.
func TestOrder(t *testing.T) {
	n, other := newNode(t, 1, nil), newNode(t, 2, nil)
	id, seen := ID{1, 1}, 0
	n.during = func([]Entry) {
		seen++
		assert.Equal(t, appendItem(nil, afterKey, id), n.After("a"))
		assert.False(t, n.Vector().Covers(id))
		data, _ := n.Message(Vector{}, 1<<20)
		theirs, err := other.Merge(data)
		assert.NoError(t, err)
		assert.False(t, theirs.Covers(id))
		assert.True(t, other.Vector().Covers(id))
	}
	n.Delete("a")
	n.during = nil
	require.Equal(t, 1, seen)
	require.True(t, n.Vector().Covers(id))
	require.Equal(t, []Entry{{ID: id, Key: "a"}}, n.applied)
	require.Equal(t, n.applied, other.applied)
}

// Who requires what another is applying waits for it, and does not apply it again.
func TestWait(t *testing.T) {
	source := newNode(t, 1, func(o *Options) { o.Max = 1 })
	source.Delete("a")
	source.Delete("b")
	floor, key := source.After("x"), source.After("b")
	data, _ := source.Message(Vector{}, 1<<20)
	for _, tt := range []struct {
		name   string
		do     func(*testNode) error
		resets int
	}{
		{"key", func(n *testNode) error { return n.Require("b", appendItem(nil, afterKey, ID{1, 2})) }, 0},
		{"floor", func(n *testNode) error { return n.Require("x", floor) }, 1},
		{"key and floor", func(n *testNode) error { return n.Require("b", key) }, 1},
		{"message", func(n *testNode) error { _, err := n.Merge(data); return err }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, 2, nil)
				n.during = func([]Entry) { time.Sleep(time.Second) }
				start := time.Now()
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() {
						assert.NoError(t, tt.do(n))
						assert.Equal(t, time.Second, time.Since(start))
						assert.NoError(t, tt.do(n)) // at once
						assert.Equal(t, time.Second, time.Since(start))
					})
				}
				wg.Wait()
				require.Equal(t, tt.resets, n.resets)
				require.Len(t, n.applied, 1-tt.resets)
			})
		})
	}
}

// If applying panics, who waits for it tries itself.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, 2, nil)
		panics := true
		n.during = func([]Entry) {
			time.Sleep(time.Second)
			if panics {
				panics = false
				panic("boom")
			}
		}
		after := appendItem(nil, afterKey, ID{1, 1})
		var wg sync.WaitGroup
		wg.Go(func() { assert.PanicsWithValue(t, "boom", func() { _ = n.Require("a", after) }) })
		synctest.Wait()
		wg.Go(func() {
			assert.NoError(t, n.Require("a", after))
			assert.True(t, n.Vector().Covers(ID{1, 1}))
		})
		wg.Wait()
		require.Len(t, n.applied, 2)
	})
}

// Apply and Reset may use the Log.
func TestCallbacks(t *testing.T) {
	n := newNode(t, 2, func(o *Options) { o.Max = 1 })
	n.maxSpans, n.maxRuns = 1, 1
	calls := 0
	n.during = func([]Entry) {
		calls++
		if calls < 10 {
			n.Delete("x")
			n.After("x")
			n.Vector()
			assert.NoError(t, n.Require("y", appendItem(nil, afterKey, ID{3, uint64(2 * calls)})))
		}
	}
	n.Delete("a")
	for i := range 10 {
		require.NoError(t, n.Require("a", appendItem(nil, afterKey, ID{uint64(10 + i), 5})))
	}
	require.True(t, n.Vector().Covers(ID{2, n.Stats().Made}))
}

func TestTrimmed(t *testing.T) {
	n := newNode(t, 1, func(o *Options) { o.Max = 3 })
	for _, key := range strings.Split("abcde", "") {
		n.Delete(key)
	}
	require.Equal(t, 3, n.Stats().Entries)
	floor := appendItem(nil, afterFloor, ID{1, 2})
	require.Equal(t, floor, n.After("a"), "what was trimmed is required by number")

	behind := newNode(t, 2, nil)
	require.NoError(t, behind.Require("a", floor))
	require.NoError(t, behind.Require("b", floor))
	require.Equal(t, 1, behind.resets)
	require.True(t, behind.Vector().Covers(ID{1, 2}))
	require.False(t, behind.Vector().Covers(ID{1, 3}))
	require.Equal(t, floor, behind.After("a"), "it can't tell either what was before")

	tell(t, n, behind, 1<<20)
	require.Equal(t, 1, behind.resets)
	require.Len(t, behind.applied, 3)

	late := newNode(t, 3, nil)
	tell(t, n, late, 1<<20)
	require.Equal(t, 1, late.resets)
	require.Equal(t, Stats{Entries: 3, Runs: 1, Applied: 3, Resets: 1}, late.Stats())

	n.Clear()
	later := newNode(t, 4, nil)
	tell(t, n, later, 1<<20)
	require.Zero(t, later.resets, "the clear stands for what was trimmed")
	require.Equal(t, []Entry{{ID: ID{1, 6}, All: true}}, later.applied)
}

// Much is trimmed at a time.
func TestTrimmedSeldom(t *testing.T) {
	n := newNode(t, 1, func(o *Options) { o.Max = 160 })
	floors := make(map[string]bool)
	for i := range 1000 {
		n.Delete(string(rune(i)))
		require.LessOrEqual(t, n.Stats().Entries, 160)
		require.True(t, i < 160 || n.Stats().Entries >= 150)
		floors[string(n.After("-"))] = true
	}
	require.LessOrEqual(t, len(floors), 1000/10)
}

// Deletes of other runs are not lost when a key has deletes of several.
func TestRunsOfOneKey(t *testing.T) {
	var nodes []*testNode
	for i := range 3 {
		nodes = append(nodes, newNode(t, uint64(1+i), nil))
		nodes[i].Delete("a")
	}
	asked := newNode(t, 9, nil)
	for _, n := range nodes[1:] {
		tell(t, n, nodes[0], 1<<20)
	}
	require.NoError(t, asked.Require("a", nodes[0].After("a")))
	require.Len(t, asked.applied, 3)
	require.Equal(t, nodes[0].After("a"), asked.After("a"))
}

func TestLongKey(t *testing.T) {
	n := newNode(t, 1, nil)
	id := n.Delete(strings.Repeat("k", MaxKey+1))
	require.Equal(t, []Entry{{ID: id, All: true}}, n.applied)
	n.Delete(strings.Repeat("k", MaxKey))
	other := newNode(t, 2, nil)
	tell(t, n, other, 1<<10)
	require.Len(t, other.applied, 2)
}

func TestNew(t *testing.T) {
	apply, reset := func([]Entry) {}, func() {}
	for _, o := range []Options{
		{Apply: apply, Reset: reset}, {Run: 1, Reset: reset}, {Run: 1, Apply: apply},
		{Run: 1, Apply: apply, Reset: reset, Max: -1}, {Run: 1, Apply: apply, Reset: reset, Retain: -1},
	} {
		require.Panics(t, func() { New(o) })
	}
	l := New(Options{Run: 1, Apply: apply, Reset: reset})
	require.Equal(t, DefaultMax, l.o.Max)
	l.Delete("a")
	require.True(t, l.Vector().Covers(ID{1, 1}))
}
