package replica

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chain returns n updates of one claim each.
func chain(n int) []*Update {
	var all []*Update
	for i := range n {
		seq := uint64(i + 1)
		all = append(all, update(seq-1, seq, claim("n"+strconv.Itoa(i), seq)))
	}
	return all
}

func TestUpdatesApplyInWhateverOrderTheyCome(t *testing.T) {
	for seed := range uint64(50) {
		o := observe(t, Config{}, "b")
		all := chain(12)
		all = append(all, all[:6]...) // some come twice
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, u := range all {
			o.hear("b", u)
		}
		require.EqualValues(t, 12, o.mark(), "seed %d", seed)
		require.Equal(t, 12, o.Len())
		require.Zero(t, o.Stats().Buffered)
		require.Empty(t, pulls(o.pass(time.Minute)), "nothing is missing")
		require.EqualValues(t, 12, o.tables["b"].want)
	}
}

func TestAnUpdateIsRelayedOnceAndOnlyIfItWasNews(t *testing.T) {
	o := observe(t, Config{}, "b")
	all := chain(3)
	require.Empty(t, o.hear("b", all[2]).Relay)
	require.Equal(t, []*Update{all[0]}, o.hear("b", all[0]).Relay)
	require.Empty(t, o.hear("b", all[0]).Relay)
	require.Equal(t, []*Update{all[1], all[2]}, o.hear("b", all[1]).Relay, "the one that waited, too")
}

func TestAnUpdateThatOverlapsBringsWhatIsNew(t *testing.T) {
	o := observe(t, Config{}, "b")
	o.hear("b", update(0, 2, claim("x", 1), claim("y", 2)))
	o.hear("b", update(1, 4, claim("y", 2), tombstone("x", 3), claim("z", 4)))
	require.EqualValues(t, 4, o.mark())
	require.Nil(t, o.Lookup("x"))
	require.NotNil(t, o.Lookup("y"))
	require.NotNil(t, o.Lookup("z"))
}

func TestAnOldUpdateCanNotBringBackWhatIsGone(t *testing.T) {
	for _, keep := range []int{1024, -1} { // whether the tombstone is kept or not
		o := observe(t, Config{Limits: Limits{Tombstones: keep}}, "b")
		o.hear("b", update(0, 2, tombstone("x", 2)))
		require.Empty(t, o.hear("b", update(0, 1, claim("x", 1))).Events)
		require.Nil(t, o.Lookup("x"))
	}
}

func TestUpdatesThatWaitAreBounded(t *testing.T) {
	o := observe(t, Config{Limits: Limits{Buffered: 3}}, "b")
	all := chain(9)
	for _, u := range all[1:] {
		o.hear("b", u)
	}
	require.Equal(t, 3, o.Stats().Buffered)
	require.EqualValues(t, 5, o.Stats().DroppedBuffered)
	require.EqualValues(t, 8, o.Stats().Gaps)
	o.hear("b", all[0])
	require.EqualValues(t, 4, o.mark(), "the nearest were kept")
	q := pulls(o.pass(time.Second))["b"]
	require.NotNil(t, q, "the rest is asked for")
	require.Equal(t, Pull{Origin: "b", Incarnation: 1, After: 4}, *q)
}

func TestAGapMayCloseByItself(t *testing.T) {
	o := observe(t, Config{}, "b")
	all := chain(4)
	o.hear("b", all[0])
	o.hear("b", all[2])
	require.False(t, o.Synced())
	require.Empty(t, pulls(o.pass(50*time.Millisecond)), "patience")
	o.hear("b", all[1])
	require.True(t, o.Synced())
	require.Empty(t, pulls(o.pass(time.Second)))

	o.hear("b", update(7, 8, claim("far", 8)))
	require.Empty(t, pulls(o.pass(50*time.Millisecond)))
	require.Contains(t, pulls(o.pass(60*time.Millisecond)), "b")
}

func TestMessagesAboutStrangersAreIgnored(t *testing.T) {
	o := observe(t, Config{}, "b")
	before := o.Stats().Ignored
	o.hear("b", &Update{Origin: "z", Incarnation: 1, UpTo: 1,
		Records: []*Record{claimOf("z", "x", 1)}})
	o.hear("b", &Chunk{Origin: "z", Incarnation: 1, UpTo: 1})
	require.EqualValues(t, 2, o.Stats().Ignored-before)
	require.Zero(t, o.Len())
	require.NotContains(t, o.tables, "z")
}

// A chunk that was served before the claim ended arrives after the tombstone arrived and was
// dropped.
func TestALateChunkCanNotBringBackWhatIsGone(t *testing.T) {
	for _, keep := range []int{1024, -1} {
		o := observe(t, Config{Limits: Limits{Tombstones: keep}}, "b", "c")
		require.Contains(t, pulls(o.hear("c", stands(1))), "c")
		o.hear("b", update(0, 2, tombstone("x", 2)))
		o.hear("c", chunk(0, 1, 1, 0, claim("x", 1)))
		require.Nil(t, o.Lookup("x"))
		require.EqualValues(t, 2, o.mark())
	}
}
