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
		require.Zero(t, c.Start, "no tombstone was dropped: a delta")
		size := 0
		for _, r := range c.Records {
			size += sizeOf(r)
		}
		require.True(t, size <= 300 || len(c.Records) == 1, "%d bytes in %d records", size, len(c.Records))
		require.Equal(t, c.Records[len(c.Records)-1].Seq, c.UpTo)
		chunks, records, after = chunks+1, records+len(c.Records), c.UpTo
		if !c.More {
			break
		}
	}
	require.EqualValues(t, 101, after)
	require.Equal(t, 101, records)
	require.Greater(t, chunks, 10)
}

func TestTheFloorDecidesBetweenDeltaAndSnapshot(t *testing.T) {
	o := observe(t, Config{Limits: Limits{Tombstones: 4}}, "b")
	fill(o.Partition, o.at, 10)
	for i := range 6 {
		o.Unregister(o.at, "n"+strconv.Itoa(i), WhyReleased)
	}
	o.Flush(1200, 0) // tombstones 11 to 14 are dropped: half of those allowed stay
	require.EqualValues(t, 14, o.own.floor)
	for after, start := range map[uint64]uint64{0: 16, 13: 16, 14: 0, 15: 0, 16: 0} {
		c := ask(o, Pull{After: after})
		require.Equal(t, start, c.Start, "after %d", after)
		require.EqualValues(t, 16, c.UpTo)
		if start > 0 {
			require.Zero(t, c.After)
			require.Len(t, c.Records, 4, "no tombstones from before it began")
		} else {
			require.Len(t, c.Records, int(16-after))
		}
	}
	require.EqualValues(t, 14, ask(o, Pull{After: 9, Start: 14}).Start, "a snapshot that began at the floor goes on")
	c := ask(o, Pull{After: 9, Start: 13})
	require.EqualValues(t, 16, c.Start, "one that began before does not")
	require.Zero(t, c.After)
}

func TestASnapshotListsWhatEndedWhileItWasUnderWay(t *testing.T) {
	o := observe(t, Config{Limits: Limits{ChunkBytes: 1, Tombstones: 2}}, "b")
	fill(o.Partition, o.at, 5)
	for i := range 3 {
		o.Unregister(o.at, "n"+strconv.Itoa(i), WhyReleased)
	}
	o.Flush(1200, 0)
	first := ask(o, Pull{})
	require.EqualValues(t, 8, first.Start)
	o.Unregister(o.at, "n3", WhyEnded) // was in the first chunk
	var dead []string
	for c := first; c.More; {
		c = ask(o, Pull{After: c.UpTo, Start: c.Start})
		require.Equal(t, first.Start, c.Start)
		for _, r := range c.Records {
			if r.Dead {
				dead = append(dead, r.Name)
			}
		}
	}
	require.Equal(t, []string{"n3"}, dead)
}

func TestASnapshotSweepsWhatItDidNotList(t *testing.T) {
	o := observe(t, Config{}, "b")
	o.hear("b", update(0, 3, claim("gone", 1), claim("stays", 2), claim("changed", 3)))
	o.hear("b", stands(9))
	out := o.pass(time.Second)
	require.EqualValues(t, 3, pulls(out)["b"].After)

	out = o.hear("b", chunk(0, 5, 8, true, claim("stays", 2), claim("new", 5)))
	require.Equal(t, Pull{Origin: "b", Incarnation: 1, After: 5, Start: 8}, *pulls(out)["b"])
	require.NotNil(t, o.Lookup("gone"), "not before the end")
	require.False(t, o.Synced())
	out = o.hear("b", chunk(5, 9, 8, false, claim("changed", 7), tombstone("late", 9)))
	require.Equal(t, []EventType{Unregistered, Registered, Unregistered}, types(out.Events)) // changed has another time
	require.Equal(t, "gone", out.Events[2].Name)
	require.Equal(t, WhyMissing, out.Events[2].Why)
	require.Nil(t, o.Lookup("gone"))
	require.EqualValues(t, 9, o.mark())
	require.EqualValues(t, 8, o.tables["b"].floor, "tombstones before the start may be missing here too")
	require.True(t, o.Synced())
	require.EqualValues(t, 1, o.Stats().Resyncs)
}

func TestASnapshotBeginsAnewWithAnotherServer(t *testing.T) {
	o := observe(t, Config{}, "b", "c", "d")
	o.hear("c", stands(9))
	out := o.hear("c", chunk(0, 2, 8, true, claim("x", 1), claim("y", 2)))
	require.EqualValues(t, 2, pulls(out)["c"].After)
	o.NodeDown(o.at, "c", false)
	out = o.pass(10 * time.Millisecond)
	require.Len(t, pulls(out), 1)
	for to, q := range pulls(out) {
		require.NotEqual(t, "c", to)
		require.Equal(t, Pull{Origin: "b", Incarnation: 1}, *q, "from the start")
		// This one dropped x in the meantime, and had y renewed.
		o.hear(to, chunk(0, 10, 10, false, claim("y", 10)))
	}
	require.Nil(t, o.Lookup("x"))
	require.EqualValues(t, 10, o.Lookup("y").Seq)
	require.True(t, o.Synced())
}

func TestASnapshotWhoseServerRanOutOfTombstonesBeginsAnew(t *testing.T) {
	o := observe(t, Config{}, "b")
	o.hear("b", stands(9))
	o.hear("b", chunk(0, 2, 9, true, claim("x", 1), claim("y", 2)))
	o.hear("b", chunk(0, 30, 30, false, claim("y", 2), claim("z", 30)))
	require.Nil(t, o.Lookup("x"))
	require.NotNil(t, o.Lookup("y"))
	require.EqualValues(t, 30, o.mark())
	require.EqualValues(t, 2, o.Stats().Resyncs)
}

// A server that has got part of a snapshot holds records above its watermark in place of older ones. A snapshot that left
// those out would sweep claims that stand.
func TestWhoIsAmidASnapshotServesNone(t *testing.T) {
	server := observe(t, Config{Limits: Limits{Tombstones: -1}}, "b", "c")
	server.hear("b", update(0, 5, claim("x", 3), tombstone("y", 5)))
	server.hear("b", stands(20))
	server.pass(time.Second)
	server.hear("b", chunk(0, 12, 20, true, claim("x", 12))) // there is more to come
	require.EqualValues(t, 5, server.mark())

	asker := observe(t, Config{}, "b", "c")
	asker.hear("b", update(0, 4, claim("x", 3), claim("y", 4)))
	asker.hear("c", stands(5))
	q := pulls(asker.pass(time.Second))["c"]
	require.NotNil(t, q)
	for _, e := range server.hear("c", q).Send {
		asker.hear("c", e.Message)
	}
	require.NotNil(t, asker.Lookup("x"), "its holder lives")

	// Once it is complete, it serves.
	server.hear("b", chunk(12, 20, 20, false))
	c := sent[*Chunk](server.hear("c", q))
	require.Len(t, c, 1)
	require.EqualValues(t, 20, c[0].UpTo)
	require.Len(t, c[0].Records, 1)
}

// Updates bring all that a snapshot under way would have. Nobody asks for the rest of it, so it must not keep the node
// hidden.
func TestASnapshotThatUpdatesHaveOvertakenIsMoot(t *testing.T) {
	o := observe(t, Config{}, "c")
	o.NodeUp(o.at, "b", 1)
	o.hear("c", stands(2))
	require.Contains(t, pulls(o.hear("c", chunk(0, 1, 2, true, claim("x", 1)))), "c")
	require.Nil(t, o.Lookup("x"))
	o.hear("b", update(0, 2, claim("x", 1), claim("y", 2)))
	require.Equal(t, 2, o.Len())
	require.True(t, o.Synced())
}

// A server that is slower than a pull waits must still get the snapshot done.
func TestASnapshotStaysWithItsServerForAWhile(t *testing.T) {
	o := observe(t, Config{}, "b", "c", "d")
	o.hear("d", stands(9))
	o.hear("d", chunk(0, 1, 9, true, claim("x", 1)))
	for range 2 {
		var again map[string]*Pull
		for len(again) == 0 {
			again = pulls(o.pass(100 * time.Millisecond))
		}
		require.Equal(t, map[string]*Pull{"d": {Origin: "b", Incarnation: 1, After: 1, Start: 9}}, again)
	}
	o.hear("d", chunk(1, 9, 9, false, claim("y", 9)))
	require.Equal(t, 2, o.Len())
	require.EqualValues(t, 1, o.Stats().Resyncs)
}

// Part of a snapshot came from one server, and the rest from another that is less far. What the first one brought is
// newer, and stays.
func TestWhatAnAbandonedSnapshotBroughtStays(t *testing.T) {
	for name, newest := range map[string]*Record{"a claim": claim("x", 12), "a tombstone": tombstone("x", 12)} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, Config{}, "b", "c", "d")
			o.hear("c", stands(20))
			o.hear("c", chunk(0, 14, 9, true, newest, claim("z", 14)))
			o.NodeDown(o.at, "c", false)
			out := o.hear("d", stands(9))
			require.Len(t, pulls(out), 1)
			for to := range pulls(out) {
				out = o.hear(to, chunk(0, 9, 0, false, claim("x", 8), claim("y", 9)))
			}
			require.Equal(t, []string{"y"}, names(out.Events))
			require.EqualValues(t, 9, o.mark())
			if newest.Dead {
				require.Nil(t, o.Lookup("x"))
			} else {
				require.Equal(t, newest, o.Lookup("x"))
			}
			var seqs []uint64
			for _, r := range o.tables["b"].log {
				seqs = append(seqs, r.Seq)
			}
			require.IsIncreasing(t, seqs)
			require.Empty(t, names(o.hear("b", update(9, 14, newest, claim("z", 14))).Events), "no news")
			require.NotNil(t, o.Lookup("z"))
		})
	}
}

func names(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Name)
	}
	return all
}
