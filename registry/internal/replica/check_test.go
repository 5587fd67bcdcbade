package replica

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// doubting returns an observer with claims 1 to n of "b", any of which may have ended.
func doubting(t *testing.T, n uint64, l Limits) (*observer, Output) {
	o := observe(t, Config{Limits: l}, "b", "c")
	var claims []*Record
	for i := range n {
		claims = append(claims, claim("n"+strconv.FormatUint(i+1, 10), i+1))
	}
	o.hear("b", update(0, n, claims...))
	o.hear("b", stands(n+10))
	o.pass(time.Second)
	out := o.hear("b", chunk(n, n+10, n+10, n+5))
	return o, out
}

func checks(out Output) map[string]*Check {
	found := map[string]*Check{}
	for _, e := range out.Send {
		if q, ok := e.Message.(*Check); ok {
			found[e.To] = q
		}
	}
	return found
}

func standing(after, upTo, asOf uint64, spans ...Span) *Standing {
	return &Standing{Origin: "b", Incarnation: 1, After: after, UpTo: upTo, AsOf: asOf, Spans: spans}
}

func TestACheckIsBounded(t *testing.T) {
	o, out := doubting(t, 100, Limits{ChunkBytes: 240, BlockRecords: 8})
	var after uint64
	asked := 0
	for {
		q := checks(out)["b"]
		if q == nil {
			break
		}
		asked++
		require.Equal(t, after, q.After)
		require.LessOrEqual(t, len(q.Blocks), 4, "30 claims")
		after = q.Blocks[len(q.Blocks)-1].UpTo
		out = o.hear("b", standing(q.After, after, 110))
	}
	require.Equal(t, 4, asked)
	require.EqualValues(t, 105, after)
	require.True(t, o.Synced())
	require.Equal(t, 100, o.Len(), "all stand")
}

func TestAnAnswerToACheckIsBounded(t *testing.T) {
	o := observe(t, Config{Limits: Limits{ChunkBytes: 80}}, "b")
	fill(o.Partition, o.at, 50)
	o.Flush(1200, 0)
	numbers := func(from, to uint64) (all []uint64) {
		for i := from; i <= to; i++ {
			all = append(all, i)
		}
		return all
	}
	answer := func(q Check) *Standing {
		q.Origin, q.Incarnation = "a", 1
		return sent[*Standing](o.hear("b", &q))[0]
	}
	// One block that differs has more numbers than fit into an answer.
	s := answer(Check{Blocks: []Block{{UpTo: 50}}})
	require.Equal(t, []Span{{UpTo: 10, Seqs: numbers(1, 10)}}, s.Spans)
	require.EqualValues(t, 10, s.UpTo)
	// So have several blocks.
	s = answer(Check{After: 10, Blocks: []Block{{UpTo: 16}, {UpTo: 22}, {UpTo: 50}}})
	require.Equal(t, []Span{{10, 16, numbers(11, 16)}, {16, 20, numbers(17, 20)}}, s.Spans)
	require.EqualValues(t, 20, s.UpTo)
	// Blocks that are equal are not listed.
	var d digest
	for _, n := range numbers(21, 40) {
		d.add(n)
	}
	s = answer(Check{After: 20, Blocks: []Block{{UpTo: 40, Digest: d.sum()}, {UpTo: 49}, {UpTo: 50}}})
	require.Equal(t, []Span{{40, 49, numbers(41, 49)}, {49, 50, numbers(50, 50)}}, s.Spans)
	require.EqualValues(t, 50, s.UpTo)
	require.EqualValues(t, 50, s.AsOf)
	// A block beyond the server's watermark can't be answered.
	s = answer(Check{After: 40, Blocks: []Block{{UpTo: 51}}})
	require.EqualValues(t, 40, s.UpTo)
	s = answer(Check{AtLeast: 51, Blocks: []Block{{UpTo: 50}}})
	require.Zero(t, s.UpTo)
}

func TestACheckThatIsNotAnsweredIsTriedElsewhere(t *testing.T) {
	o, out := doubting(t, 3, Limits{})
	require.Contains(t, checks(out), "b", "the origin knows best")
	asked := map[string]bool{}
	for range 600 {
		for to := range checks(o.pass(100 * time.Millisecond)) {
			asked[to] = true
		}
	}
	require.Equal(t, map[string]bool{"b": true, "c": true}, asked)
	require.Less(t, o.Stats().PullTimeouts, uint64(16), "less and less often")

	asked = map[string]bool{}
	for range 200 { // a server that can't answer replies so
		out := o.pass(50 * time.Millisecond)
		for to, q := range checks(out) {
			asked[to] = true
			require.Empty(t, o.hear(to, standing(q.After, q.After, q.After)).Send)
		}
	}
	require.NotEmpty(t, asked)
	o.hear("b", standing(0, 8, 13))
	require.True(t, o.Synced(), "a late answer serves as well")
}

// Checks must not delay pulls, nor pulls checks.
func TestChecksAndPullsTakeTurns(t *testing.T) {
	o, out := doubting(t, 10, Limits{ChunkBytes: 8, BlockRecords: 1})
	q := checks(out)["b"]
	require.Len(t, q.Blocks, 1)
	o.hear("b", stands(30))
	o.pass(200 * time.Millisecond)
	out = o.hear("b", standing(0, q.Blocks[0].UpTo, 20))
	require.Len(t, pulls(out), 1)
	out = o.hear("b", chunk(20, 25, 30, 0))
	require.Len(t, pulls(out), 1, "first what was there when the chunk was made")
	out = o.hear("b", chunk(25, 30, 30, 0))
	require.Len(t, checks(out), 1)
}

func TestAStandingThatDoesNotFitIsIgnored(t *testing.T) {
	for name, s := range map[string]*Standing{
		"of another place":  standing(2, 8, 13, Span{After: 2, UpTo: 8}),
		"of the run before": {Origin: "b", UpTo: 8, AsOf: 13, Spans: []Span{{UpTo: 8}}},
		"too old":           standing(0, 5, 5, Span{UpTo: 5}),
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := doubting(t, 3, Limits{})
			require.Empty(t, o.hear("b", s).Events)
			require.Equal(t, 3, o.Len())
			require.False(t, o.Synced())
		})
	}
	o := observe(t, Config{}, "b")
	o.hear("b", update(0, 1, claim("x", 1)))
	o.hear("b", standing(0, 1, 1, Span{UpTo: 1}))
	require.Equal(t, 1, o.Len(), "no check was sent")
}

// An answer does not affect claims that are newer than it.
func TestWhatIsMadeWhileACheckIsUnderWayStays(t *testing.T) {
	o, _ := doubting(t, 3, Limits{})
	o.hear("b", update(13, 15, claim("n2", 14), claim("new", 15)))
	o.hear("b", standing(0, 8, 13, Span{UpTo: 8, Seqs: []uint64{1, 2}}))
	require.NotNil(t, o.Lookup("new"))
	require.EqualValues(t, 14, o.Lookup("n2").Seq)
	require.Nil(t, o.Lookup("n3"))
	require.True(t, o.Synced())
}
