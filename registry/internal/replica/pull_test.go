package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhoToldOfTheNewsIsAskedFirst(t *testing.T) {
	o := observe(t, Config{}, "b", "c", "d")
	out := o.hear("d", stands(5))
	require.Equal(t, map[string]*Pull{"d": {Origin: "b", Incarnation: 1}}, pulls(out))
	o.NodeDown(o.at, "d", false)
	o.Take()
	out = o.pass(10 * time.Millisecond)
	require.Len(t, pulls(out), 1)
	require.NotContains(t, pulls(out), "d", "that is down")
}

func TestAPullIsTriedAgainLessAndLessOften(t *testing.T) {
	o := observe(t, Config{}, "b", "c", "d")
	require.Len(t, pulls(o.hear("c", stands(5))), 1)
	asked := map[string]bool{}
	var waits []time.Duration
	for last := o.at.Mono; len(waits) < 9; {
		if q := pulls(o.pass(50 * time.Millisecond)); len(q) > 0 {
			waits = append(waits, o.at.Mono-last)
			last = o.at.Mono
			for to := range q {
				asked[to] = true
			}
		}
	}
	require.Len(t, asked, 3, "by turns the origin and anybody")
	for i, w := range waits {
		want := time.Second << min(i, 4)
		require.InDelta(t, want.Seconds(), w.Seconds(), want.Seconds()/8+0.051, "wait %d", i)
	}
	require.EqualValues(t, 9, o.Stats().PullTimeouts)
	require.EqualValues(t, 10, o.Stats().Pulls)
}

// The first pull was sent to a node that did not know this one yet, and the second over a link that
// was cut.
func TestAPullIsTriedAgainOnceItsServerIsHeard(t *testing.T) {
	for _, tt := range []struct {
		name    string
		timeout time.Duration // time-outs double; the last pull was sent that long ago
		vector  *Vector
		again   bool
	}{
		{"it came to know this node", 10 * time.Millisecond, &Vector{Reply: true}, true},
		{"it may still answer", 10 * time.Millisecond, &Vector{}, false},
		{"it would have answered", 1100 * time.Millisecond, &Vector{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := observe(t, Config{}, "b")
			require.Len(t, pulls(o.hear("b", stands(5))), 1)
			for range 3 {
				for len(pulls(o.pass(50*time.Millisecond))) == 0 {
				}
			}
			require.Empty(t, pulls(o.pass(tt.timeout)))
			if out := pulls(o.hear("b", tt.vector)); tt.again {
				require.Len(t, out, 1)
				require.Empty(t, pulls(o.hear("b", &Vector{})), "once")
			} else {
				require.Empty(t, out)
			}
		})
	}
}

func TestPullsUnderWayAreBounded(t *testing.T) {
	var others []string
	for i := range 20 {
		others = append(others, fmt.Sprintf("n%02d", i))
	}
	o := observe(t, Config{Limits: Limits{Pulls: 3}}, others...)
	v := &Vector{}
	for _, n := range others {
		v.Entries = append(v.Entries, Entry{Origin: n, Incarnation: 1, Seq: 1, Visible: true})
	}
	out := o.hear("n07", v)
	require.Len(t, out.Send, 3)
	for served := 0; served < 20; {
		var next []Envelope
		for _, e := range out.Send {
			q, ok := e.Message.(*Pull)
			require.True(t, ok)
			require.Equal(t, "n07", e.To)
			c := &Chunk{Origin: q.Origin, Incarnation: 1, UpTo: 1,
				Records: []*Record{claimOf(q.Origin, q.Origin, 1)}}
			more := o.hear("n07", c).Send
			require.LessOrEqual(t, len(more), 1, "one ends, one begins")
			next = append(next, more...)
			served++
		}
		require.LessOrEqual(t, len(next), 3)
		out.Send = next
	}
	require.True(t, o.Synced())
	require.Equal(t, 20, o.Len())
}

func TestAnAnswerWithoutProgressDoesNotMakeABusyLoop(t *testing.T) {
	o := observe(t, Config{}, "b", "c")
	out := o.hear("c", stands(5))
	asked := 0
	for range 200 { // 10 s
		for to, q := range pulls(out) {
			asked++
			require.Empty(t, o.hear(to,
				&Chunk{Origin: "b", Incarnation: 1, After: q.After, UpTo: q.After}).Send)
		}
		out = o.pass(50 * time.Millisecond)
	}
	require.Greater(t, asked, 3)
	require.Less(t, asked, 20)
}

func TestAnAnswerThatCameTwiceCountsOnce(t *testing.T) {
	o := observe(t, Config{}, "b")
	o.hear("b", stands(2))
	c := chunk(0, 2, 2, 0, claim("x", 1), claim("y", 2))
	require.Len(t, o.hear("b", c).Events, 2)
	ignored := o.Stats().Ignored
	require.Empty(t, o.hear("b", c).Events)
	require.Equal(t, ignored+1, o.Stats().Ignored)
}

func TestAPullForWhatIsNotHereIsAnsweredByAVector(t *testing.T) {
	o := observe(t, Config{}, "b")
	for _, q := range []*Pull{{Origin: "z", Incarnation: 1}, {Origin: "b", Incarnation: 7},
		{Origin: "a", Incarnation: 9}} {
		out := o.hear("b", q)
		require.Len(t, sent[*Vector](out), 1)
		require.Empty(t, sent[*Chunk](out))
	}
}

func TestSummariesThatAgreeEndThere(t *testing.T) {
	o := observe(t, Config{}, "b")
	var root uint64
	probes := 0
	for range 60 {
		for _, s := range sent[*Summary](o.pass(time.Second)) {
			root = s.Root
			probes++
		}
	}
	require.InDelta(t, 30, probes, 6, "one in about two seconds")
	require.Empty(t, o.hear("b", &Summary{Root: root}).Send)
	out := o.hear("b", &Summary{Root: root + 1})
	require.Len(t, out.Send, 1)
	require.True(t, sent[*Vector](out)[0].Reply)
}

func TestANodeThatDoesNotAnswerIsAskedLessAndLessOften(t *testing.T) {
	o := observe(t, Config{})
	o.NodeUp(o.at, "b", 1)
	asked := len(sent[*Vector](o.Take()))
	for range 600 { // 60 s
		asked += len(sent[*Vector](o.pass(100 * time.Millisecond)))
	}
	require.Greater(t, asked, 8)
	require.Less(t, asked, 16)
	require.False(t, o.Synced())
	// A link that flaps does not add to them.
	for range 100 {
		o.NodeDown(o.at, "b", false)
		o.NodeUp(o.at, "b", 1)
	}
	require.LessOrEqual(t, len(sent[*Vector](o.Take())), 1)
}

func TestAChunkThatDoesNotFitIsIgnored(t *testing.T) {
	for name, c := range map[string]struct {
		from  string
		chunk *Chunk
	}{
		"beyond a gap":            {"c", chunk(2, 5, 5, 0, claim("x", 5))},
		"of the run before":       {"c", &Chunk{Origin: "b", UpTo: 5, Records: []*Record{claim("x", 5)}}},
		"of one that is not seen": {"c", &Chunk{Origin: "z", Incarnation: 1, UpTo: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, Config{}, "b", "c", "d")
			require.Contains(t, pulls(o.hear("c", stands(5))), "c")
			ignored := o.Stats().Ignored
			require.Equal(t, Output{}, o.hear(c.from, c.chunk))
			require.Equal(t, ignored+1, o.Stats().Ignored)
			require.Zero(t, o.mark())
			require.NotNil(t, o.tables["b"].pull, "the answer is still to come")
			o.hear("c", chunk(0, 5, 5, 0, claim("x", 5)))
			require.NotNil(t, o.Lookup("x"))
		})
	}
}

// A replica that is ahead of the server does not go back.
func TestAServerThatIsBehindSaysSo(t *testing.T) {
	o := observe(t, Config{}, "b")
	fill(o.Partition, o.at, 3)
	for _, q := range []Pull{{After: 7}, {After: 2, AtLeast: 4}} {
		c := ask(o, q)
		require.Equal(t, Chunk{Origin: "a", Incarnation: 1, After: q.After, UpTo: q.After, AsOf: q.After},
			*c)
	}
}

// An answer that comes after the pull's time-out is applied, whichever node was asked meanwhile.
func TestAnAnswerThatComesLateIsTaken(t *testing.T) {
	o := observe(t, Config{}, "b", "c")
	o.hear("c", stands(9))
	require.Len(t, pulls(o.pass(1200*time.Millisecond)), 1, "the time-out has passed")
	o.hear("d", chunk(0, 5, 9, 0, claim("x", 5)))
	require.NotNil(t, o.Lookup("x"))
	o.hear("b", chunk(0, 5, 9, 0, claim("x", 5)))
	o.hear("c", chunk(5, 9, 9, 0, claim("y", 9)))
	require.True(t, o.Synced())
}
