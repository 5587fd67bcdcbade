package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

func TestARestartedNodesClaimsAreDropped(t *testing.T) {
	for name, how := range map[string]func(o *observer){
		"membership tells": func(o *observer) { o.NodeUp(o.at, "b", 2) },
		"membership tells, and a message before": func(o *observer) {
			o.Receive(o.at, "c", &Vector{Entries: []Entry{{Origin: "b", Incarnation: 2, Visible: true}}})
			o.NodeUp(o.at, "b", 2)
		},
		"a message tells": func(o *observer) {
			o.Receive(o.at, "c", &Vector{Entries: []Entry{{Origin: "b", Incarnation: 2, Visible: true}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, Config{}, "b", "c")
			o.hear("b", update(0, 2, claim("x", 1), claim("y", 2)))
			how(o)
			out := o.Take()
			require.Equal(t, []EventType{Unregistered, Unregistered}, types(out.Events))
			require.Equal(t, WhyNodeRestart, out.Events[0].Why)
			require.Zero(t, o.Len())
			o.hear("c", update(2, 3, claim("z", 3)))
			o.hear("c", update(0, 3, claim("x", 1), claim("y", 2), claim("z", 3)))
			require.Zero(t, o.Len(), "messages of the previous incarnation are ignored")
			o.hear("b", &Vector{Entries: []Entry{{Origin: "b", Incarnation: 2, Visible: true}}})
			o.hear("b", &Update{Origin: "b", Incarnation: 2, UpTo: 1, Records: []*Record{claim("x", 1)}})
			require.Equal(t, 1, o.Len())
			o.NodeUp(o.at, "b", 2) // a late or repeated notification
			require.Equal(t, 1, o.Len())
			require.Empty(t, o.Take().Events)
		})
	}
}

func TestARestartedNodeIsHiddenUntilSomebodySpeaksForIt(t *testing.T) {
	o := observe(t, Config{Limits: Limits{Tombstones: -1}}, "b", "c")
	o.hear("b", update(0, 9, claim("x", 8), tombstone("y", 9)))
	o.NodeUp(o.at, "b", 2)
	o.hear("c", &Update{Origin: "b", Incarnation: 2, UpTo: 1, Records: []*Record{claim("x", 1)}})
	require.Zero(t, o.Len(), "there may be more, such as that x is gone")
	o.hear("b", &Vector{Entries: []Entry{{Origin: "b", Incarnation: 2, Seq: 1, Visible: true}}})
	require.Equal(t, 1, o.Len())
	// The new sequence is independent of the old one: no tombstone of it was ever dropped.
	c := sent[*Chunk](o.hear("c", &Pull{Origin: "b", Incarnation: 2}))
	require.Len(t, c, 1)
	require.Zero(t, c[0].Floor)
}

func TestALowerIncarnationDropsTheClaimsToo(t *testing.T) {
	o := observe(t, Config{}, "b")
	o.NodeUp(o.at, "b", 9)
	o.hear("b", &Update{Origin: "b", Incarnation: 9, UpTo: 1, Records: []*Record{claim("x", 1)}})
	o.hear("b", &Vector{Entries: []Entry{{Origin: "b", Incarnation: 9, Seq: 1, Visible: true}}})
	require.NotNil(t, o.Lookup("x"))
	o.NodeUp(o.at, "b", 4)
	require.Nil(t, o.Lookup("x"), "the holder died with its node")
	o.hear("b", &Update{Origin: "b", Incarnation: 4, UpTo: 1, Records: []*Record{claim("y", 1)}})
	require.Nil(t, o.Lookup("y"), "it may be an old message")
	require.EqualValues(t, 9, o.tables["b"].inc, "b must be notified of it")
}

// A node restarts with a clock that was set back. The others would ignore it for ever, so it raises
// its incarnation above its earlier one, which the others report.
func TestALowerIncarnationIsRaised(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.nodes["a"].Register(c.at, "old", nil)
	c.pump(time.Second)
	c.start("b", 50, Config{}) // another node restarts, too
	c.pump(time.Second)
	c.start("b", 10, Config{})
	c.nodes["b"].Register(c.at, "new", nil)
	c.pump(5 * time.Second)
	require.EqualValues(t, 1, c.nodes["b"].Stats().Refutations)
	require.Greater(t, c.nodes["b"].own.inc, uint64(50))
	for n, p := range c.nodes {
		require.Equal(t, "b", p.Lookup("new").Node, n)
		require.Equal(t, "a", p.Lookup("old").Node, n)
		require.True(t, p.Synced(), n)
	}
	require.Empty(t, c.lost["b"])
}

func TestARefutationKeepsTheClaims(t *testing.T) {
	o := observe(t, Config{}, "b")
	fill(o.Partition, o.at, 5)
	o.Unregister(o.at, "n2", WhyReleased)
	o.Register(o.at, "lost", nil)
	o.hear("b", update(0, 1, &Record{Name: "lost", Node: "b", Seq: 1,
		Time: hlc.Timestamp{Nanos: o.at.Wall + 1000}}))
	require.Len(t, o.withdrawn, 1)
	o.Flush(1200, 0)
	before := map[string]Record{}
	o.OwnNames(func(r *Record) bool { before[r.Name] = *r; return true })
	out := o.hear("b", &Vector{Entries: []Entry{{Origin: "a", Incarnation: 9, Seq: 40,
		Visible: true}}})
	require.Greater(t, o.own.inc, uint64(9))
	require.Len(t, sent[*Vector](out), 1, "all nodes are notified")
	require.Empty(t, out.Lost)
	var seqs []uint64
	o.OwnNames(func(r *Record) bool {
		require.Equal(t, before[r.Name].Time, r.Time)
		seqs = append(seqs, r.Seq)
		return true
	})
	require.Equal(t, []uint64{1, 2, 3, 4}, seqs)
	names, _ := o.Pending()
	require.Equal(t, 4, names)
	updates := o.Flush(1200, 0)
	require.Len(t, updates, 1)
	require.Equal(t, o.own.inc, updates[0].Incarnation)
	require.Zero(t, updates[0].After)
	require.Len(t, updates[0].Records, 4)
	require.Empty(t, o.withdrawn)
	// The same vector again has no effect.
	o.hear("b", &Vector{Entries: []Entry{{Origin: "a", Incarnation: 9, Seq: 40}}})
	require.EqualValues(t, 1, o.Stats().Refutations)
}

func TestWhatIsKnownOfTheOwnNodeNeedsNoRefutation(t *testing.T) {
	o := observe(t, Config{}, "b")
	fill(o.Partition, o.at, 3)
	for _, e := range []Entry{{Origin: "a", Incarnation: 1, Seq: 3}, {Origin: "a", Incarnation: 1},
		{Origin: "a", Seq: 70}} {
		o.hear("b", &Vector{Entries: []Entry{e}})
		require.Zero(t, o.Stats().Refutations, "%+v", e)
	}
	o.hear("b", &Vector{Entries: []Entry{{Origin: "a", Incarnation: 1, Seq: 4}}})
	require.EqualValues(t, 1, o.Stats().Refutations, "it never wrote a fourth")
}

// Two nodes with the same name each consider the other an earlier incarnation of their own.
// Membership should prevent that; if it does not, they must not keep all nodes busy.
func TestTwoNodesOfOneNameDoNotChaseEachOther(t *testing.T) {
	start := func() *observer {
		o := observe(t, Config{}, "b")
		fill(o.Partition, o.at, 2)
		return o
	}
	one, two := start(), start()
	two.Register(two.at, "more", nil)
	for range 3600 { // an hour
		one.pass(time.Second)
		two.pass(time.Second)
		two.hear("b", &Vector{Entries: []Entry{{Origin: "a", Incarnation: one.own.inc,
			Seq: one.own.seq}}})
		one.hear("b", &Vector{Entries: []Entry{{Origin: "a", Incarnation: two.own.inc,
			Seq: two.own.seq}}})
	}
	n := one.Stats().Refutations + two.Stats().Refutations
	require.Greater(t, n, uint64(10))
	require.Less(t, n, uint64(150), "each waits up to a minute")
}

// Another run of the node may already have raised its incarnation to the next number.
func TestARaisedIncarnationIsOneOfItsOwn(t *testing.T) {
	rumour := &Vector{Entries: []Entry{{Origin: "a", Incarnation: 5000, Seq: 40}}}
	seen := map[uint64]bool{}
	for inc := range uint64(3) {
		p := New(Config{Self: "a", Incarnation: 1000 + inc, Clock: hlc.New(time.Second)})
		at := At{Wall: 1e18, Mono: time.Hour}
		p.NodeUp(at, "b", 1)
		p.Receive(at, "b", rumour)
		require.Greater(t, p.own.inc, uint64(5000))
		require.False(t, seen[p.own.inc])
		seen[p.own.inc] = true
	}
}
