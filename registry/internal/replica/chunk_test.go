package replica

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func ask(o *observer, q Pull) *Chunk {
	q.Incarnation = 1
	if q.Origin == "" {
		q.Origin = "a"
	}
	o.Receive(o.at, "b", &q)
	return sent[*Chunk](o.Take())[0]
}

func TestChunksAreBounded(t *testing.T) {
	o := observe(t, Config{Limits: Limits{ChunkBytes: 300}}, "b")
	fill(o.Partition, o.at, 100)
	o.Register(o.at, "large", make([]byte, 1000))
	var after uint64
	chunks, records := 0, 0
	for {
		c := ask(o, Pull{After: after})
		require.Equal(t, after, c.After)
		require.Zero(t, c.Floor, "no tombstone was dropped")
		require.EqualValues(t, 101, c.AsOf)
		size := 0
		for _, r := range c.Records {
			size += sizeOf(r)
		}
		require.True(t, size <= 300 || len(c.Records) == 1, "%d bytes in %d records", size,
			len(c.Records))
		require.Equal(t, c.Records[len(c.Records)-1].Seq, c.UpTo)
		chunks, records, after = chunks+1, records+len(c.Records), c.UpTo
		if !c.More() {
			break
		}
	}
	require.EqualValues(t, 101, after)
	require.Equal(t, 101, records)
	require.EqualValues(t, 101, o.Stats().Served)
	require.Greater(t, chunks, 10)
}

func TestAChunkTellsHowFarTombstonesReach(t *testing.T) {
	o := observe(t, Config{Limits: Limits{Tombstones: 4}}, "b")
	fill(o.Partition, o.at, 10)
	for i := range 6 {
		o.Unregister(o.at, "n"+strconv.Itoa(i), WhyReleased)
	}
	o.Flush(1200, 0) // tombstones 11 to 14 are dropped: half of those allowed stay
	require.EqualValues(t, 14, o.own.floor)
	for after, records := range map[uint64]int{0: 6, 8: 4, 13: 2, 14: 2, 15: 1} {
		c := ask(o, Pull{After: after})
		require.EqualValues(t, 14, c.Floor)
		require.EqualValues(t, 16, c.UpTo)
		require.Len(t, c.Records, records, "after %d: what was made and ended since", after)
	}
}

// The claims of a chunk are visible at once if they are as new as the vector of the node that
// speaks for the origin, whether or not there are more.
func TestAJoinerShowsWhatItHas(t *testing.T) {
	o := observe(t, Config{}, "c")
	o.NodeUp(o.at, "b", 1)
	require.False(t, o.CaughtUp(), "no node has spoken for b yet")
	n, node := o.Behind()
	require.Equal(t, 1, n)
	require.Equal(t, "b", node)
	out := o.hear("c", stands(100))
	require.Equal(t, Pull{Origin: "b", Incarnation: 1, AtLeast: 100}, *pulls(out)["c"])
	out = o.hear("c", chunk(0, 30, 120, 90, claim("x", 10), claim("y", 30)))
	require.Equal(t, []EventType{Registered, Registered}, types(out.Events))
	require.NotNil(t, o.Lookup("x"))
	require.False(t, o.CaughtUp(), "a name that is not found may have a holder")
	v := sent[*Vector](o.hear("c", &Vector{Reply: true}))[0]
	require.Equal(t, Entry{Origin: "b", Incarnation: 1, Seq: 30}, v.Entries[1],
		"it does not speak for b")

	o.hear("c", chunk(30, 110, 130, 90, claim("z", 110)))
	require.True(t, o.CaughtUp(), "as far as c was when it spoke for b")
	require.False(t, o.Synced(), "but there is more")
	o.hear("c", chunk(110, 130, 130, 90))
	require.True(t, o.Synced())
	require.Zero(t, o.Stats().Checks)
}

// Claims that are older than the vector of the node that speaks for the origin are not shown.
func TestAJoinerShowsNothingThatIsOutdated(t *testing.T) {
	for name, stale := range map[string]Message{
		"chunk":  chunk(30, 50, 60, 0, claim("z", 50)),
		"update": update(30, 50, claim("z", 50)),
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, Config{}, "c", "d")
			o.NodeUp(o.at, "b", 1)
			o.hear("c", stands(100))
			o.hear("c", chunk(0, 30, 120, 90, claim("y", 30)))
			o.hear("d", stale)
			require.Nil(t, o.Lookup("z"))
			require.EqualValues(t, 30, o.mark())
			o.hear("c", chunk(30, 120, 120, 90, tombstone("z", 99)))
			require.True(t, o.Synced())
		})
	}
	t.Run("update that waited", func(t *testing.T) {
		o := observe(t, Config{}, "c")
		o.NodeUp(o.at, "b", 1)
		o.hear("c", stands(100))
		o.hear("b", update(30, 50, claim("z", 50)))
		o.hear("c", chunk(0, 30, 120, 90, claim("y", 30)))
		require.Nil(t, o.Lookup("z"))
		o.hear("c", chunk(30, 120, 120, 90))
		require.Nil(t, o.Lookup("z"))
		require.True(t, o.Synced())
	})
}

// The claims of a node that was seen before are hidden until it is known which of them still stand.
func TestANodeThatComesBackIsShownOnceItsClaimsAreSure(t *testing.T) {
	o := observe(t, Config{}, "b", "c")
	o.hear("b", update(0, 2, claim("x", 1), claim("y", 2)))
	o.NodeDown(o.at, "b", false)
	o.NodeUp(o.at, "b", 1)
	o.Take()
	o.hear("c", stands(9))
	require.Equal(t, Pull{Origin: "b", Incarnation: 1, After: 2, AtLeast: 9},
		*pulls(o.pass(200 * time.Millisecond))["c"])
	o.hear("c", chunk(2, 9, 9, 8, claim("z", 9)))
	require.Zero(t, o.Len(), "x or y may have ended")
	require.False(t, o.CaughtUp(), "what is hidden may be held")
	o.hear("b", &Standing{Origin: "b", Incarnation: 1, UpTo: 8, AsOf: 9,
		Spans: []Span{{UpTo: 8, Seqs: []uint64{2}}}})
	require.Equal(t, 2, o.Len())
	require.Nil(t, o.Lookup("x"))
	require.True(t, o.Synced())
}

// A replica that is catching up lacks claims that stand, or holds some that ended: it is no server.
func TestWhoIsNotExactServesNobody(t *testing.T) {
	server := observe(t, Config{}, "b", "c")
	server.hear("b", update(0, 5, claim("x", 3), claim("y", 5)))
	server.hear("b", stands(20))
	refuses := func() {
		t.Helper()
		c := sent[*Chunk](server.hear("c", &Pull{Origin: "b", Incarnation: 1}))
		require.Equal(t, []*Chunk{{Origin: "b", Incarnation: 1}}, c)
		s := sent[*Standing](server.hear("c",
			&Check{Origin: "b", Incarnation: 1, Blocks: []Block{{UpTo: 5}}}))
		require.Equal(t, []*Standing{{Origin: "b", Incarnation: 1}}, s)
	}
	server.hear("b", chunk(5, 12, 20, 8, claim("z", 12))) // there are more chunks
	refuses()
	server.hear("b", chunk(12, 20, 20, 8, tombstone("x", 20)))
	refuses() // y may have ended before 8
	server.hear("b", &Standing{Origin: "b", Incarnation: 1, UpTo: 8, AsOf: 20})
	require.True(t, server.Synced())

	c := sent[*Chunk](server.hear("c", &Pull{Origin: "b", Incarnation: 1, After: 5}))[0]
	require.Equal(t, chunk(5, 20, 20, 8, claim("z", 12), tombstone("x", 20)), c)
}

// A claim of a chunk may end before the next one is served, which no longer has the tombstone.
func TestWhatEndsWhileAJoinIsUnderWayIsFound(t *testing.T) {
	o := observe(t, Config{}, "b")
	o.hear("b", stands(9))
	o.hear("b", chunk(0, 5, 9, 8, claim("x", 4), claim("y", 5)))
	out := o.hear("b", chunk(5, 30, 30, 28, claim("z", 29))) // x ended at 20
	q := sent[*Check](out)
	require.Len(t, q, 1)
	require.EqualValues(t, 28, q[0].AtLeast)
	require.Len(t, q[0].Blocks, 1)
	require.NotNil(t, o.Lookup("x"))
	require.True(t, o.CaughtUp())
	out = o.hear("b", &Standing{Origin: "b", Incarnation: 1, UpTo: 28, AsOf: 31,
		Spans: []Span{{UpTo: 28, Seqs: []uint64{5}}}})
	require.Equal(t, []string{"x"}, names(out.Events))
	require.Equal(t, WhyMissing, out.Events[0].Why)
	require.True(t, o.Synced())
	require.EqualValues(t, 28, o.tables["b"].floor, "tombstones up to here may be missing here too")
}

// Names come and go meanwhile; the walk through them continues where it was.
func TestAJoinUnderChurnSendsEachRecordOnce(t *testing.T) {
	const names, churn = 20_000, 300 // released and registered again while a chunk is under way
	server := observe(t, Config{Limits: Limits{ChunkBytes: 64 << 10}}, "b")
	fill(server.Partition, server.at, names)
	server.Flush(1200, 0)
	server.Take()

	joiner := New(Config{Self: "b", Incarnation: 1, Clock: server.cfg.Clock})
	joiner.NodeUp(server.at, "a", 1)
	joiner.Take()
	joiner.Receive(server.at, "a", sent[*Vector](server.hear("b", &Vector{Reply: true}))[0])
	turns, next := 0, 0
	for !joiner.Synced() {
		turns++
		require.Less(t, turns, 60, "%+v", joiner.Stats())
		for range churn {
			server.Unregister(server.at, "n"+strconv.Itoa(next%names), WhyReleased)
			if next >= 5*churn {
				server.Register(server.at, "n"+strconv.Itoa((next-5*churn)%names), nil)
			}
			next++
		}
		updates := server.Flush(1200, 0)
		for _, e := range joiner.Take().Send {
			for _, answer := range server.hear("b", e.Message).Send {
				joiner.Receive(server.at, "a", answer.Message)
			}
		}
		for _, u := range updates {
			joiner.Receive(server.at, "a", u)
		}
	}
	changed := 2 * churn * turns
	t.Logf("%d turns, %d records for %d names and %d changes", turns, server.Stats().Served, names,
		changed)
	require.LessOrEqual(t, server.Stats().Served, uint64(names+changed))
	require.Equal(t, server.Len(), joiner.Len())
	require.EqualValues(t, 1, joiner.Stats().Resyncs)
	require.EqualValues(t, 1, joiner.Stats().Checks)
}

// A node that was away for longer than tombstones are kept gets the changes, not all names.
func TestWhoWasAwayGetsWhatChanged(t *testing.T) {
	const names, changed = 50_000, 4000
	c := newCluster(t, "b", "c")
	fill(c.nodes["b"], c.at, names)
	c.pump(time.Second)
	c.split("b", "c")
	for i := range changed {
		c.nodes["b"].Unregister(c.at, "n"+strconv.Itoa(10*i), WhyReleased)
		if i%2 == 0 {
			c.nodes["b"].Register(c.at, "n"+strconv.Itoa(10*i), nil)
		}
	}
	c.pump(time.Second)
	served := c.nodes["b"].Stats().Served
	c.heal("b", "c")
	c.pump(5 * time.Second)
	require.True(t, c.nodes["c"].Synced())
	require.Equal(t, names-changed/2, c.nodes["c"].Len())
	require.EqualValues(t, 1, c.nodes["c"].Stats().Resyncs)
	require.EqualValues(t, 1, c.nodes["c"].Stats().Checks)
	require.LessOrEqual(t, c.nodes["b"].Stats().Served-served, uint64(changed))
	for i := range names {
		name := "n" + strconv.Itoa(i)
		require.Equal(t, c.nodes["b"].Lookup(name) != nil, c.nodes["c"].Lookup(name) != nil, name)
	}
}

// An interrupted walk continues where it was, with another server.
func TestAWalkGoesOnWithAnotherServer(t *testing.T) {
	o := observe(t, Config{}, "b", "c", "d")
	o.hear("c", stands(9))
	require.EqualValues(t, 2, pulls(o.hear("c",
		chunk(0, 2, 9, 0, claim("x", 1), claim("y", 2))))["c"].After)
	o.NodeDown(o.at, "c", false)
	out := o.pass(10 * time.Millisecond)
	require.Len(t, pulls(out), 1)
	for to, q := range pulls(out) {
		require.NotEqual(t, "c", to)
		require.EqualValues(t, 2, q.After)
		o.hear(to, chunk(2, 10, 10, 0, tombstone("x", 7), claim("y", 10)))
	}
	require.Nil(t, o.Lookup("x"))
	require.EqualValues(t, 10, o.Lookup("y").Seq)
	require.True(t, o.Synced())
}

func TestUpdatesThatOvertakeAWalkEndIt(t *testing.T) {
	o := observe(t, Config{}, "c")
	o.NodeUp(o.at, "b", 1)
	o.hear("c", stands(2))
	require.Contains(t, pulls(o.hear("c", chunk(0, 1, 2, 0, claim("x", 1)))), "c")
	o.hear("b", update(0, 2, claim("x", 1), claim("y", 2)))
	require.Equal(t, 2, o.Len())
	require.True(t, o.Synced())
}

func names(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Name)
	}
	return all
}
