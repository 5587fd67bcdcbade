package quarantine

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A clock is moved by hand.
type clock struct{ now time.Time }

func (c *clock) move(d time.Duration) { c.now = c.now.Add(d) }

func newBook(c *clock, node string, others ...Incarnation) *Book {
	b := New(Options{Self: Incarnation{node, 1}, Quarantine: 30 * time.Second, MaxKey: 4 << 10})
	b.now = func() time.Time { return c.now }
	b.SetMembers(others)
	for _, i := range others {
		b.Up(i)
	}
	return b
}

// send sends b the records of a.
func send(t *testing.T, a, b *Book) {
	t.Helper()
	message, _ := a.Message(0, 1<<20)
	_, err := b.Merge(message)
	require.NoError(t, err)
}

var (
	a1, b1 = Incarnation{"a", 1}, Incarnation{"b", 1}
	c1, d1 = Incarnation{"c", 1}, Incarnation{"d", 1}
)

// TestStates leads a key through its states, as two nodes see them.
func TestStates(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b, other := newBook(c, "b", a1, c1), newBook(c, "c", a1, b1)
	require.True(t, b.Empty())
	require.Equal(t, Verdict{}, b.Check("k"))
	b.Lost("k", a1)
	v := b.Check("k")
	require.Equal(t, Verdict{State: Suspect, Deaths: []string{"a"}, Trier: v.Trier}, v)
	require.Contains(t, []Incarnation{b1, c1}, v.Trier, "the dead try nothing")
	require.Equal(t, Verdict{}, b.Check("other"))
	require.Equal(t, map[string]Verdict{"k": v}, b.All())
	send(t, b, other)
	require.Equal(t, v, other.Check("k"))

	_, ok := other.Begin("k")
	require.False(t, ok, "it rests")
	c.move(restAfterDeath)
	_, ok = other.Begin("k")
	require.True(t, ok)
	_, again := other.Begin("k")
	require.False(t, again)
	send(t, other, b)
	require.Equal(t, Verdict{State: OnTrial, Deaths: []string{"a"}, Trier: c1}, b.Check("k"))
	_, ok = b.Begin("k")
	require.False(t, ok)
	require.True(t, other.Ready("k"))

	b.Gone(c1, false)
	until := c.now.Add(30 * time.Second)
	want := Verdict{State: Quarantined, Deaths: []string{"a", "c"}, Until: until}
	require.Equal(t, want, b.Check("k"))
	require.Equal(t, Stats{Quarantined: 1}, b.Stats())
	c.move(30 * time.Second)
	require.Equal(t, Suspect, b.Check("k").State)
	_, ok = b.Begin("k")
	require.True(t, ok)
	require.True(t, b.Ready("k"))
	b.End(true, "k")
	require.Equal(t, Verdict{}, b.Check("k"))
	require.Equal(t, Stats{Trials: 1}, b.Stats())

	b.Lost("k", d1)
	require.Equal(t, []string{"d"}, b.Check("k").Deaths, "it is counted anew")
	c.move(time.Hour)
	b.Lost("other", d1)
	require.Len(t, b.records, 1, "what has no news is dropped")
}

// TestQuarantineDoubles checks the quarantine of a key that kills again and again.
func TestQuarantineDoubles(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b := newBook(c, "b")
	b.Lost("k", a1)
	for i := range 10 {
		b.Lost("k", Incarnation{"x", uint64(i)}) //nolint:gosec // small
		want := 30 * time.Second << min(i, 5)
		require.Equal(t, want, b.Check("k").Until.Sub(c.now))
		c.move(want)
	}
}

// TestWhatIsForgiven checks what forgives a death: a load on trial that returns, and the accused
// itself.
func TestWhatIsForgiven(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b, living := newBook(c, "b", a1, c1, d1), newBook(c, "a", b1)
	b.Lost("k", a1)
	send(t, b, living)
	require.Equal(t, Clear, living.Check("k").State)
	send(t, living, b)
	require.Equal(t, Clear, b.Check("k").State, "it lives")
	b.Lost("k", a1)
	require.Equal(t, Suspect, b.Check("k").State, "another one")

	c.move(restAfterDeath)
	_, ok := b.Begin("k")
	require.True(t, ok)
	b.Ready("k")
	b.End(false, "k")
	require.Equal(t, Suspect, b.Check("k").State, "a load that was given up clears nothing")
	_, ok = b.Begin("k")
	require.True(t, ok)
	b.Ready("k")
	b.End(true, "k")
	require.Equal(t, Clear, b.Check("k").State)
	b.Refused("k", a1)
	require.Equal(t, Clear, b.Check("k").State, "that no process listens counts once")
	b.Refused("k", Incarnation{"e", 1})
	require.Equal(t, Clear, b.Check("k").State, "it never listened")
}

// TestOneDeathConvictsOneKey checks that the death of a trier counts for the key on trial alone.
func TestOneDeathConvictsOneKey(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b, trier := newBook(c, "b", a1, c1), newBook(c, "c", a1, b1)
	for _, key := range []string{"k", "waiting"} {
		b.Lost(key, a1)
	}
	send(t, b, trier)
	c.move(restAfterDeath)
	_, ok := trier.Begin("k")
	require.True(t, ok)
	_, ok = trier.Begin("waiting")
	require.False(t, ok, "one at a time")
	trier.Ready("k")
	send(t, trier, b)
	b.Gone(c1, true)
	b.Lost("beside", c1)
	b.SetMembers([]Incarnation{a1})
	require.Equal(t, Quarantined, b.Check("k").State)
	require.Equal(t, Suspect, b.Check("waiting").State)
	require.Equal(t, Clear, b.Check("beside").State)
	b.Refused("late", c1)
	require.Equal(t, Clear, b.Check("late").State)
}

// TestLeave checks that a node that leaves in the middle of a trial does not count as dead.
func TestLeave(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b, trier := newBook(c, "b", a1, c1), newBook(c, "c", a1, b1)
	b.Lost("k", a1)
	send(t, b, trier)
	c.move(restAfterDeath)
	_, ok := trier.Begin("k")
	require.True(t, ok)
	require.True(t, trier.Ready("k"))
	send(t, trier, b)
	seq, some := trier.Leave()
	require.True(t, some)
	require.NotZero(t, seq)
	send(t, trier, b)
	b.SetMembers([]Incarnation{a1})
	require.Equal(t, []string{"a"}, b.Check("k").Deaths)
	trier.End(true, "k")
	require.Equal(t, Suspect, trier.Check("k").State, "its load ended after it had left")
	_, some = trier.Leave()
	require.False(t, some)
	_, ok = trier.Begin("k")
	require.False(t, ok, "it has left")
}

// TestAnnounce checks that keys are suspect, and no more, when a node has died that had announced
// to load them together.
func TestAnnounce(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b, loader := newBook(c, "b", a1, c1), newBook(c, "c", a1, b1)
	b.Lost("tried", a1)
	send(t, b, loader)
	c.move(restAfterDeath)
	_, ok := loader.Begin("tried")
	require.True(t, ok)
	taken, seq := loader.Announce([]string{"k", "l", "tried"})
	require.Equal(t, []string{"k", "l"}, taken)
	require.NotZero(t, seq)
	send(t, loader, b)
	require.Equal(t, Verdict{State: OnTrial, Trier: c1}, b.Check("k"))
	require.Equal(t, Clear, loader.Check("k").State)
	loader.End(false, "l")
	send(t, loader, b)
	b.SetMembers([]Incarnation{a1})
	require.Equal(t, Suspect, b.Check("k").State)
	require.Equal(t, Clear, b.Check("l").State)
	require.Equal(t, Quarantined, b.Check("tried").State)
	var many []string
	for i := range 2 * maxRefusedSuspects {
		many = append(many, strconv.Itoa(i))
	}
	taken, _ = loader.Announce(many)
	require.Len(t, taken, maxRefusedSuspects)
}

// TestTurns checks that more trials run at a time after many have ended well, until the next death.
func TestTurns(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b := newBook(c, "b", a1, c1)
	b.Lost("first", a1)
	atOnce := func() (n int) {
		c.move(restAfterDeath)
		for i := range 100 {
			key := fmt.Sprint("probe", i)
			b.Lost(key, a1)
			if _, ok := b.Begin(key); ok {
				n++
			}
		}
		for i := range 100 {
			b.End(false, fmt.Sprint("probe", i))
		}
		return n
	}
	require.Equal(t, 1, atOnce())
	for i := range 600 {
		key := strconv.Itoa(i)
		b.Lost(key, a1)
		c.move(restAfterDeath)
		_, ok := b.Begin(key)
		require.True(t, ok)
		b.Ready(key)
		b.End(true, key)
		if i == 15 {
			require.Equal(t, 2, atOnce())
		}
	}
	require.Equal(t, 64, atOnce())
	b.Lost("k", c1)
	require.Equal(t, 1, atOnce())
	b.Begin("k")
	b.Ready("k")
	c.move(2 * time.Second)
	require.Equal(t, 1, atOnce(), "a trial that takes long holds no others up")
}

// TestBounds checks that a flood of suspects is bounded, and that clear records go first.
func TestBounds(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b := newBook(c, "b", a1)
	b.Lost("first", a1)
	b.Lost("cleared", a1)
	c.move(restAfterDeath)
	b.Begin("cleared")
	b.Ready("cleared")
	b.End(true, "cleared")
	for i := range maxRecords - 1 {
		b.Lost(strconv.Itoa(i), a1)
	}
	require.Len(t, b.records, maxRecords)
	require.Equal(t, Suspect, b.Check("first").State)
	b.Lost("last", a1)
	require.Equal(t, Clear, b.Check("first").State)
	for i := range 10 * maxMarks {
		other := newBook(c, "x")
		other.o.Self.ID = uint64(i) //nolint:gosec // small
		other.Lost("last", a1)
		other.Begin("last") // a1 is no member, so there is no rest
		other.End(false, "last")
		send(t, other, b)
	}
	require.LessOrEqual(t, len(b.records["last"].marks), maxMarks)

	// A message in pieces arrives whole.
	other, since := newBook(c, "c"), uint64(0)
	for range 10_000 {
		message, upTo := b.Message(since, 100)
		if message == nil {
			break
		}
		_, err := other.Merge(message)
		require.NoError(t, err)
		since = upTo
	}
	require.Len(t, other.records, maxRecords)
	message, upTo := b.Message(since, 100)
	require.Nil(t, message)
	require.Equal(t, since, upTo)
}

// BenchmarkEmpty measures the cost for a load while there are no suspects.
func BenchmarkEmpty(b *testing.B) {
	book := newBook(&clock{}, "b")
	for b.Loop() {
		book.Check("k")
	}
}
