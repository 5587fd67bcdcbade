package registry

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/registry"
)

// made puts a claim into the ledger that was made at a time.
func made(l *ledger, name string, node int, contested bool, nanos int64) *claim {
	c := l.open(name, node, contested, 0)
	l.registered(c, registry.Timestamp{Nanos: nanos}, 0)
	return c
}

// Every way to be wrong at the end is seen, and is not taken for another.
func TestAudit(t *testing.T) {
	for _, tt := range []struct {
		name  string
		views func(l *ledger) []map[string]claimID
		want  Audit
	}{
		{"right", func(l *ledger) []map[string]claimID {
			c := made(l, "a", 0, false, 1)
			v := map[string]claimID{"a": c.id}
			return []map[string]claimID{v, v, v}
		}, Audit{Names: 1}},
		{"zombie of a released claim", func(l *ledger) []map[string]claimID {
			c := made(l, "a", 0, false, 1)
			require.Equal(t, c, l.take(0, 1))
			v := map[string]claimID{"a": c.id}
			return []map[string]claimID{{}, v, {}}
		}, Audit{Zombies: 1, Disagreements: 1,
			Example: "node 2 shows a as held by a claim that is not alive"}},
		{"zombies of a node that died", func(l *ledger) []map[string]claimID {
			c := made(l, "a", 0, false, 1)
			l.died(0, 1)
			require.Equal(t, 1, l.count(died))
			v := map[string]claimID{"a": c.id}
			return []map[string]claimID{v, v, v}
		}, Audit{Zombies: 3, Example: "node 1 shows a as held by a claim that is not alive"}},
		{"a name from nowhere", func(*ledger) []map[string]claimID {
			return []map[string]claimID{{"x": 0}, {}, {}}
		}, Audit{Zombies: 1, Example: "node 1 shows x, which nobody registered"}},
		{"missing", func(l *ledger) []map[string]claimID {
			made(l, "a", 0, false, 1)
			return []map[string]claimID{{}, {}, {}}
		}, Audit{Names: 1, Missing: 3, Example: "node 1 does not show a"}},
		{"two holders", func(l *ledger) []map[string]claimID {
			made(l, "a", 0, true, 1)
			v := map[string]claimID{"a": made(l, "a", 1, true, 2).id}
			return []map[string]claimID{v, v, v}
		}, Audit{Names: 1, TwoHolders: 1, Example: "a has 2 holders"}},
		{"wrong winner", func(l *ledger) []map[string]claimID {
			v := map[string]claimID{"a": made(l, "a", 0, true, 1).id}
			l.lost(loss{ID: made(l, "a", 1, true, 2).id, Conflict: true}, 3)
			return []map[string]claimID{v, v, v}
		}, Audit{Names: 1, WrongWinner: 1,
			Example: "a is held by node 1, though the claim of node 2 is preferred"}},
		{"disagreement", func(l *ledger) []map[string]claimID {
			a, b := made(l, "a", 0, true, 1), made(l, "a", 1, true, 2)
			return []map[string]claimID{{"a": a.id}, {"a": b.id}, {"a": b.id}}
		}, Audit{Names: 1, TwoHolders: 1, Disagreements: 1, Example: "a has 2 holders"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLedger(false, 3)
			l.up = []bool{true, true, true}
			views := tt.views(l)
			require.Equal(t, tt.want, *l.audit(views))
			ok := tt.want.Example == ""
			x := &Run{Audit: &tt.want}
			passed := true
			for _, c := range x.checks(&Params{}) {
				passed = passed && c.OK
			}
			require.Equal(t, ok, passed, "the checks must see it")
		})
	}
}

func TestChecksOfARun(t *testing.T) {
	s := &Params{WholeWithin: time.Second, QueueAtMost: 10, Disturb: lab.Split}
	good := func() *Run {
		return &Run{Audit: &Audit{}, Whole: 0.9, Peaks: Peaks{QueuePeak: 10}, QueueLimit: 50}
	}
	failing := func(x *Run) (names []string) {
		for _, c := range x.checks(s) {
			if !c.OK {
				names = append(names, c.Name)
			}
		}
		return names
	}
	require.Empty(t, failing(good()))
	for want, spoil := range map[string]func(*Run){
		"every loser was notified": func(x *Run) {
			x.Conflicts = Conflicts{Both: 2, Losers: 2, Told: 1}
		},
		"no claim was lost without a reason": func(x *Run) { x.Dropped = 1 },
		"no operation failed": func(x *Run) {
			x.Failed, x.Failure = 1, "for this"
		},
		"whole again soon after the disturbance":            func(x *Run) { x.Whole = measured.None() },
		"queues stayed bounded":                             func(x *Run) { x.QueuePeak = 11 },
		"every name was asked for on every node at the end": func(x *Run) { x.Audit = nil },
	} {
		x := good()
		spoil(x)
		require.Equal(t, []string{want}, failing(x))
	}
	s.QueueAtMost = 0
	x := good()
	x.QueuePeak = 51
	require.Equal(t, []string{"queues stayed bounded"}, failing(x), "the registry's own limit")
}

func TestConflictsAreCounted(t *testing.T) {
	l := newLedger(false, 3)
	// One was refused at once.
	made(l, "a", 0, true, 1)
	l.settle(l.open("a", 1, true, 0), refused, 0)
	// A loser was told, and one was not.
	l.lost(loss{ID: made(l, "b", 0, true, 1e9).id, Conflict: true}, 5)
	made(l, "b", 1, true, 3e9)
	made(l, "c", 0, true, 1e9)
	made(l, "c", 1, true, 3e9)
	require.Equal(t, 1, l.unsettled())
	// The winner died before the loser was told, which is the holder now.
	made(l, "d", 0, true, 1)
	made(l, "d", 2, true, 2)
	l.died(2, 9)
	c := l.conflicts()
	require.InDelta(t, 2, float64(c.Apart), 0.01)
	c.Apart = 0
	require.Equal(t, Conflicts{Names: 4, Refused: 1, Both: 3, Losers: 2, Told: 1, ByDeath: 1}, c)
}

func TestWinner(t *testing.T) {
	for _, oldest := range []bool{false, true} {
		l := newLedger(oldest, 3)
		a, b := made(l, "a", 0, true, 1), made(l, "a", 1, true, 2)
		want := b
		if oldest {
			want = a
		}
		require.Equal(t, want, l.best(l.names["a"].claims))
		// A tie falls to the greater name, whichever resolver it is.
		made(l, "b", 1, true, 1)
		c := made(l, "b", 2, true, 1)
		require.Equal(t, c, l.best(l.names["b"].claims))
	}
}

// A claim's end may be heard of before its beginning is.
func TestEndBeforeBeginning(t *testing.T) {
	l := newLedger(false, 1)
	c := l.open("a", 0, false, 0)
	l.lost(loss{ID: c.id, Conflict: true}, 1)
	l.registered(c, registry.Timestamp{Nanos: 1}, 2)
	require.Equal(t, conflicted, c.state)
	require.Zero(t, l.expected())
	require.Nil(t, l.take(0, 3))
	l.lost(loss{ID: 99}, 4) // nobody's
}

func TestFreeNames(t *testing.T) {
	l := newLedger(false, 1)
	c := made(l, "a", 0, false, 1)
	require.Equal(t, 1, l.expected())
	require.Equal(t, c, l.take(7, 5))
	require.Zero(t, l.expected())
	require.Empty(t, l.reuse(100), "its release is not done")
	l.freed(c, 10)
	require.Empty(t, l.reuse(9))
	require.Equal(t, "a", l.reuse(10))
	require.Empty(t, l.reuse(10))

	// What was not released after all is held again.
	b := made(l, "b", 0, false, 1)
	require.Equal(t, b, l.take(0, 5))
	l.keep(b, 6)
	require.Equal(t, 1, l.expected())
	require.Equal(t, b, l.take(0, 7))
}

func TestViewsBehind(t *testing.T) {
	l := newLedger(false, 3)
	l.line = phase.Line{Start: 10, End: 20, Stop: 30}
	l.set(0, true)
	l.set(1, true)
	c := l.open("a", 0, false, 4)
	l.registered(c, registry.Timestamp{Nanos: 1}, 5)
	behind := func(until time.Duration) [2]int {
		all, old := l.behind(until)
		return [2]int{all, old}
	}
	require.Equal(t, [2]int{2, 0}, behind(4), "it was changed after that")
	require.Equal(t, [2]int{2, 2}, behind(5))
	require.Equal(t, time.Duration(6),
		l.apply(0, observation{Changes: []change{{Name: "a", ID: c.id, At: 6}}}))
	require.Equal(t, [2]int{1, 1}, behind(5))
	require.Equal(t, noChange, l.apply(1, observation{}))
	l.apply(1, observation{Changes: []change{{Name: "a", ID: c.id, At: int64(2*time.Millisecond) + 4},
		{Name: "stranger", ID: 77, At: 8}}})
	require.Equal(t, [2]int{0, 0}, behind(5))
	require.Equal(t, int64(1), l.latency[phase.Before].Count(), "on the other node alone")
	require.InDelta(t, float64(2*time.Millisecond), float64(l.latency[phase.Before].Max()), 4096)

	// A view that is lost and found is no new visibility.
	l.apply(1, observation{Changes: []change{{Name: "a", At: 8}}})
	require.Equal(t, [2]int{1, 1}, behind(5))
	l.apply(1, observation{Changes: []change{{Name: "a", ID: c.id, At: 9}}})
	require.Equal(t, [2]int{0, 0}, behind(5))
	require.Equal(t, int64(1), l.latency[phase.Before].Count())

	// A whole view replaces what was known.
	l.apply(1, observation{Full: true})
	require.Equal(t, [2]int{1, 1}, behind(5))
	l.set(1, false)
	require.Equal(t, [2]int{0, 0}, behind(5), "a node that is down shows nothing, and must not")
	l.died(0, 12)
	require.Equal(t, [2]int{1, 1}, behind(12))
}

func TestAgreement(t *testing.T) {
	type look struct {
		now, last time.Duration
		agreed    bool
	}
	for _, tt := range []struct {
		name  string
		looks []look
		want  measured.Value
	}{
		{"never", []look{{11, 5, false}, {12, 12, false}}, measured.None()},
		{"not before", []look{{9, 9, true}}, measured.None()},
		{"at once", []look{{11, 5, true}}, 0},
		{"when the last view changed", []look{{11, 11, false}, {15, 14, true}, {16, 16, true}}, 4},
		{"when a holder was told", []look{{11, 11, false}, {15, noChange, true}}, 5},
		{"again", []look{{11, 5, true}, {12, 12, false}, {18, 17, true}}, 7},
	} {
		a := newAgreement(10)
		for _, l := range tt.looks {
			a.see(l.now, l.last, l.agreed)
		}
		got := a.took()
		require.Equal(t, tt.want.Exists(), got.Exists(), tt.name)
		if got.Exists() {
			require.InDelta(t, float64(tt.want), float64(got)*1e9, 1e-6, tt.name)
		}
	}
}
