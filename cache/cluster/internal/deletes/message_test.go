package deletes

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMessageSizes(t *testing.T) {
	from := newNode(t, 1, nil)
	for i := range 1000 {
		from.Delete(fmt.Sprintf("key %d", i*7%600))
	}
	all, more := from.Message(Vector{}, 1<<20)
	require.False(t, more)
	require.Less(t, len(all), 600*14, "at most 14 bytes for an entry with a key of 7")
	for _, size := range []int{0, 100, 1000, 5000, 1 << 20} {
		to := newNode(t, 2, nil)
		known := Vector{}
		for more, rounds := true, 0; more; rounds++ {
			require.Less(t, rounds, 601)
			var data []byte
			data, more = from.Message(known, size)
			require.LessOrEqual(t, len(data), max(size, 200+1500), "there is at least one entry")
			_, err := to.Merge(data)
			require.NoError(t, err)
			back, _ := to.Message(known, 0)
			known, err = from.Merge(back)
			require.NoError(t, err)
		}
		require.Len(t, to.applied, 600)
		require.Zero(t, to.resets)
		require.Equal(t, from.Vector().of(1), to.Vector().of(1))
		data, more := from.Message(known, size)
		require.False(t, more)
		require.Less(t, len(data), 50, "nothing is lacking")
	}
	require.Empty(t, from.applied[1000:], "nothing comes back")
}

// What a message takes for known of an earlier run does not count for a later one.
func TestMisaddressed(t *testing.T) {
	from, to := newNode(t, 1, nil), newNode(t, 2, nil)
	from.Delete("a")
	tell(t, from, to, 1<<20)
	from.Delete("b")
	from.Delete("b")
	data, _ := from.Message(to.Vector(), 1<<20)

	restarted := newNode(t, 3, nil)
	_, err := restarted.Merge(data)
	require.NoError(t, err)
	require.True(t, restarted.Vector().Covers(ID{1, 3}))
	require.False(t, restarted.Vector().Covers(ID{1, 1}), "delete of a is not in the message")
	require.False(t, restarted.Vector().Covers(ID{1, 2}))
	tell(t, from, restarted, 1<<20)
	require.Len(t, restarted.applied, 2)

	_, err = to.Merge(data)
	require.NoError(t, err)
	require.True(t, to.Vector().Covers(ID{1, 2}), "the delete that the later one stands for")
}

// A node that knows a later delete takes over that it has applied those before, in whatever order it hears of them.
func TestComplete(t *testing.T) {
	a, b, c := newNode(t, 1, nil), newNode(t, 2, nil), newNode(t, 3, nil)
	a.Delete("x")
	a.Delete("y")
	require.NoError(t, b.Require("y", a.After("y")))
	require.Equal(t, spans{{2, 2}}, b.Vector().of(1).ahead)
	tell(t, b, c, 1<<20)
	require.Equal(t, spans{{2, 2}}, c.Vector().of(1).ahead)
	require.False(t, c.Vector().CoversAll(a.Vector()))
	require.True(t, a.Vector().CoversAll(c.Vector()))
	tell(t, a, c, 1<<20)
	require.Empty(t, c.Vector().of(1).ahead)
	require.Len(t, c.applied, 2)
}

// Where too many were applied before earlier ones, a reset makes it simple again.
func TestSpansBounded(t *testing.T) {
	from, to := newNode(t, 1, nil), newNode(t, 2, nil)
	to.maxSpans = 10
	for i := range 200 {
		from.Delete(strconv.Itoa(i / 2 % 50)) // every second is superseded, later all of the first half
	}
	for seq := uint64(2); seq <= 20; seq += 2 {
		require.NoError(t, to.Require("x", appendItem(nil, afterKey, ID{1, seq})))
	}
	require.Zero(t, to.resets)
	require.NoError(t, to.Require("x", appendItem(nil, afterKey, ID{1, 50})))
	require.Equal(t, 1, to.resets)
	p := to.Vector().of(1)
	require.Equal(t, uint64(12), p.applied, "half of the spans")
	require.Len(t, p.ahead, 5)
	require.NoError(t, to.audit())
	tell(t, from, to, 0)
	require.Empty(t, to.Vector().of(1).ahead)
}

func TestExpire(t *testing.T) {
	retain := func(o *Options) { o.Retain = time.Minute }
	a, b, c := newNode(t, 1, retain), newNode(t, 2, retain), newNode(t, 3, retain)
	b.now = 5 * time.Hour // clocks have nothing in common
	a.Delete("x")
	a.Delete("y")
	a.now += 40 * time.Second
	b.now += 40 * time.Second
	a.Delete("z")
	tell(t, a, b, 1<<20)
	require.Equal(t, 3, b.Stats().Entries)

	b.now += 20*time.Second - time.Millisecond
	b.Expire()
	require.Equal(t, 3, b.Stats().Entries)
	b.now += time.Millisecond
	b.Expire()
	require.Equal(t, 1, b.Stats().Entries, "the age comes with an entry")
	require.Nil(t, b.After("x"))
	require.NotNil(t, b.After("z"))

	tell(t, b, c, 1<<20)
	require.Len(t, c.applied, 1, "what is expired matters to nobody")
	require.True(t, c.Vector().Covers(ID{1, 2}))
	require.False(t, b.Vector().of(1).idle)

	b.now += time.Minute
	b.Expire()
	require.True(t, b.Vector().of(1).idle)
	require.True(t, Vector{}.CoversAll(b.Vector()), "nobody needs to know")
	data, _ := b.Message(Vector{}, 1<<20)
	m, err := decode(data)
	require.NoError(t, err)
	require.Empty(t, m.chapters, "nobody is told")
	b.now += time.Minute
	b.Expire()
	require.Equal(t, Stats{Applied: 3}, b.Stats(), "a run that is gone is forgotten")

	a.now += time.Hour
	a.Expire()
	require.Equal(t, 1, a.Stats().Runs, "its own run never")
	a.Delete("x")
	tell(t, a, b, 1<<20)
	require.Equal(t, uint64(4), b.Vector().of(1).applied)
	require.Len(t, b.applied, 4)
}

func TestExpireClearAndFloor(t *testing.T) {
	a := newNode(t, 1, func(o *Options) { o.Retain, o.Max = time.Minute, 1 })
	b := newNode(t, 2, func(o *Options) { o.Retain = time.Minute })
	b.Clear()
	tell(t, b, a, 1<<20)
	a.Delete("x")
	a.Delete("y")
	require.Len(t, a.After("x"), 1+2*10)
	a.now += time.Minute
	a.Expire()
	require.Nil(t, a.After("x"))
	require.Nil(t, a.After("y"))
	tell(t, a, b, 1<<20)
	require.Zero(t, b.resets)
	require.Empty(t, b.applied[1:])
}

// With too many runs a clear stands for those that make no more deletes.
func TestTooManyRuns(t *testing.T) {
	n, peer := newNode(t, 1, nil), newNode(t, 2, nil)
	n.maxRuns = 10
	var others []*testNode
	for i := range 35 {
		o := newNode(t, uint64(100+i), nil)
		others = append(others, o)
		o.Delete("a")
		tell(t, o, peer, 1<<20)
		for _, x := range append(others, n, peer) {
			x.now += time.Second
		}
		tell(t, o, n, 1<<20)
		require.LessOrEqual(t, n.active, 10)
		require.LessOrEqual(t, n.Stats().Runs, 20+1)
		require.LessOrEqual(t, len(n.After("a")), 2+20*11)
		require.NoError(t, n.audit())
	}
	clears := 0
	for _, e := range n.applied {
		if e.All {
			clears++
		}
	}
	require.Equal(t, 3, clears, "one for every 10 runs or so")

	tell(t, n, peer, 1<<20)
	require.True(t, slices.ContainsFunc(peer.applied, func(e Entry) bool { return e.All }))
	applied := len(n.applied)
	data, _ := peer.Message(Vector{}, 1<<20)
	_, err := n.Merge(data)
	require.NoError(t, err)
	require.Len(t, n.applied, applied, "what the clear stands for is not applied again")
	require.LessOrEqual(t, n.active, 10)

	id := others[0].Delete("b") // it was silent, and is not dead
	tell(t, others[0], n, 1<<20)
	require.Equal(t, Entry{ID: id, Key: "b"}, n.applied[len(n.applied)-1])
	require.Contains(t, string(n.After("b")), string(appendItem(nil, afterKey, id)[1:]))
}

// A clear is told before all else, whatever the size.
func TestClearFirst(t *testing.T) {
	from, to := newNode(t, 9, nil), newNode(t, 2, nil)
	other := newNode(t, 1, nil)
	for i := range 20 {
		other.Delete(strconv.Itoa(i))
	}
	from.Clear()
	tell(t, other, from, 1<<20)
	data, more := from.Message(Vector{}, 0)
	require.True(t, more)
	_, err := to.Merge(data)
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(to.applied, func(e Entry) bool { return e.All }))
	require.Len(t, to.applied, 2)
}
