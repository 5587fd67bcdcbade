package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

// together returns a cluster of a and b in which each has its own resolver, and both claim "x", a
// first.
func together(t *testing.T, a, b func(x, y *Record) int) *cluster {
	c := newCluster(t)
	c.start("a", 1, Config{Compare: a})
	c.start("b", 2, Config{Compare: b})
	c.pump(time.Second)
	c.split("a", "b")
	c.nodes["a"].Register(c.at, "x", []byte("low"))
	c.pump(time.Second)
	c.nodes["b"].Register(c.at, "x", []byte("high"))
	c.heal("a", "b")
	c.pump(20 * time.Second)
	return c
}

func count(events []Event, typ EventType) (n int) {
	for _, e := range events {
		if e.Type == typ {
			n++
		}
	}
	return n
}

func TestResolvers(t *testing.T) {
	byMeta := func(x, y *Record) int { // "high" is before "low"
		switch {
		case string(x.Meta) < string(y.Meta):
			return 1
		case string(x.Meta) > string(y.Meta):
			return -1
		}
		return 0
	}
	for name, c := range map[string]struct {
		compare func(x, y *Record) int
		winner  string
		panics  bool
	}{
		"none: the newer":    {nil, "b", false},
		"always the first":   {func(*Record, *Record) int { return 1 }, "a", false},
		"the older":          {func(x, y *Record) int { return y.Time.Compare(x.Time) }, "a", false},
		"by metadata":        {byMeta, "b", false},
		"the other way":      {func(x, y *Record) int { return -byMeta(x, y) }, "a", false},
		"without an opinion": {func(*Record, *Record) int { return 0 }, "b", false},
		"panics":             {func(*Record, *Record) int { panic("oh") }, "b", true},
	} {
		t.Run(name, func(t *testing.T) {
			cl := together(t, c.compare, c.compare)
			loser := map[string]string{"a": "b", "b": "a"}[c.winner]
			for n, p := range cl.nodes {
				require.Equal(t, c.winner, p.Lookup("x").Node, n)
				require.Len(t, p.Claims("x"), 1)
				require.Zero(t, p.Stats().Disagreements)
			}
			require.Equal(t, c.panics, count(cl.event[loser], ResolverPanic) > 0)
			require.Len(t, cl.lost[loser], 1)
			require.Equal(t, c.winner, cl.lost[loser][0].Winner.Node)
			require.Empty(t, cl.lost[c.winner])
			require.Positive(t, count(cl.event[loser], Conflict))
		})
	}
}

func TestBothKeepIsNoticed(t *testing.T) {
	mine := func(self string) func(x, y *Record) int {
		return func(x, _ *Record) int {
			if x.Node == self {
				return 1
			}
			return -1
		}
	}
	c := together(t, mine("a"), mine("b"))
	for n, p := range c.nodes {
		require.Equal(t, n, p.Lookup("x").Node)
		require.EqualValues(t, 1, p.Stats().Disagreements, "%s reports it once", n)
		require.Equal(t, 1, count(c.event[n], Disagreement))
		require.Empty(t, c.lost[n])
	}
	// Once one node releases the name, both agree.
	c.nodes["a"].Unregister(c.at, "x", WhyReleased)
	c.pump(5 * time.Second)
	require.Equal(t, "b", c.nodes["a"].Lookup("x").Node)
	require.Empty(t, c.nodes["a"].disagreed)
}

// Each node sees the other's claim before it gets the other's tombstone.
func TestBothDropIsNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dead *Record)
		want   int
	}{
		"each for the other":      {func(*Record) {}, 1},
		"it lost to a third":      {func(r *Record) { r.Verdict.Winner = "c" }, 0},
		"it lost to another one":  {func(r *Record) { r.Verdict.WinnerSeq++ }, 0},
		"another one of it lost":  {func(r *Record) { r.Verdict.LostSeq++ }, 0},
		"it was released":         {func(r *Record) { r.Why, r.Verdict = WhyReleased, nil }, 0},
		"it is of another moment": {func(r *Record) { r.Time.Nanos++ }, 0},
		"it lost to another run":  {func(r *Record) { r.Verdict.Time.Nanos++ }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			theirs := func(x, _ *Record) int { // a is before b
				if x.Node == "a" {
					return -1
				}
				return 1
			}
			o := observe(t, Config{Compare: theirs}, "b", "c")
			own, _ := o.Register(o.at, "x", nil)
			out := o.hear("b", update(0, 1, claim("x", 1)))
			require.Len(t, out.Lost, 1)
			dead := claim("x", 2)
			dead.Dead, dead.Why, dead.Verdict = true, WhyConflict,
				&Verdict{Winner: "a", WinnerSeq: 1, LostSeq: 1, Time: own.Time}
			dead.Time = claim("x", 1).Time
			c.change(dead)
			out = o.hear("b", update(1, 2, dead))
			require.Equal(t, c.want, count(out.Events, Disagreement))
			require.EqualValues(t, c.want, o.Stats().Disagreements)
			require.Nil(t, o.Lookup("x"))
		})
	}
}

func TestOfThreeTheBestWins(t *testing.T) {
	o := observe(t, Config{}, "b", "c")
	o.Register(o.at, "x", nil)
	own := o.Own("x")
	o.Take()
	first := o.hear("b", &Update{Origin: "b", Incarnation: 1, UpTo: 1,
		Records: []*Record{{Name: "x", Node: "b", Seq: 1,
			Time: hlc.Timestamp{Nanos: own.Time.Nanos + 5}}}})
	out := o.hear("c", &Update{Origin: "c", Incarnation: 1, UpTo: 1,
		Records: []*Record{{Name: "x", Node: "c", Seq: 1,
			Time: hlc.Timestamp{Nanos: own.Time.Nanos - 5}}}})
	require.Equal(t, []EventType{Unregistered, Registered, Conflict}, types(first.Events))
	require.Equal(t, WhyConflict, first.Events[0].Why)
	require.Equal(t, own, first.Events[0].Record)
	require.Equal(t, "b", o.Lookup("x").Node)
	require.Nil(t, o.Own("x"))
	require.Len(t, o.Claims("x"), 2)
	require.Equal(t, []EventType{Conflict}, types(out.Events))
	require.Equal(t, "c", out.Events[0].Other.Node)
	dead := o.own.tombs["x"]
	require.Equal(t, WhyConflict, dead.Why)
	require.Equal(t, &Verdict{Winner: "b", WinnerSeq: 1, LostSeq: 1,
		Time: hlc.Timestamp{Nanos: own.Time.Nanos + 5}}, dead.Verdict)
	require.Equal(t, own.Time, dead.Time)
}

func TestATieFallsToTheGreaterName(t *testing.T) {
	o := observe(t, Config{}, "b", "c")
	at := hlc.Timestamp{Nanos: 5e17}
	for _, n := range []string{"c", "b"} {
		o.hear(n, &Update{Origin: n, Incarnation: 1, UpTo: 1,
			Records: []*Record{{Name: "x", Node: n, Seq: 1, Time: at}}})
	}
	require.Equal(t, "c", o.Lookup("x").Node)
}

// New metadata do not change the winner, unless the resolver depends on them.
func TestNewMetadataKeepsTheTimestamp(t *testing.T) {
	o := observe(t, Config{}, "b")
	own, _ := o.Register(o.at, "x", []byte("1"))
	o.at.Wall += int64(time.Hour)
	again := o.Update(o.at, "x", []byte("2"))
	require.Equal(t, own.Time, again.Time)
	require.Equal(t, own.Seq+1, again.Seq)
	out := o.Take()
	require.Equal(t, []EventType{Registered, Updated}, types(out.Events))
	require.Equal(t, own, out.Events[1].Other)
	require.Nil(t, o.Update(o.at, "y", nil))
	require.False(t, o.Unregister(o.at, "y", WhyReleased))
}

func TestRegisterIsRefusedWhereANameIsTaken(t *testing.T) {
	o := observe(t, Config{}, "b")
	o.hear("b", update(0, 1, claim("x", 1)))
	own, taken := o.Register(o.at, "x", nil)
	require.Nil(t, own)
	require.Equal(t, "b", taken.Node)
	own, taken = o.Register(o.at, "y", nil)
	require.NotNil(t, own)
	require.Nil(t, taken)
	again, taken := o.Register(o.at, "y", nil)
	require.Nil(t, again)
	require.Equal(t, own, taken)
	o.hear("b", update(1, 2, tombstone("x", 2)))
	own, _ = o.Register(o.at, "x", nil)
	require.NotNil(t, own)
	require.Equal(t, 1, own.Time.Compare(claim("x", 1).Time), "newer than what was there")
}
