package quarantine

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKeyThatKillsForDays checks that other nodes can read the record of a key with ever more dead
// incarnations.
func TestKeyThatKillsForDays(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b, other := newBook(c, "b"), newBook(c, "c")
	for i := range 3 * maxMarks {
		b.Lost("k", Incarnation{"x", uint64(i)}) //nolint:gosec // small
		send(t, b, other)
		c.move(time.Minute)
	}
	b.Lost("beside", a1)
	send(t, b, other)
	require.Equal(t, Suspect, other.Check("beside").State)
	require.Equal(t, Quarantined, other.Check("k").State)
	require.Len(t, b.records["k"].marks, maxMarks)
}

// TestLongestQuarantine checks that the longest quarantine does not overflow when it is doubled.
func TestLongestQuarantine(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b := New(Options{Quarantine: math.MaxInt64, MaxKey: 10})
	b.now = func() time.Time { return c.now }
	for i := range uint64(10) {
		b.Lost("k", Incarnation{"x", i})
		if i > 0 {
			require.Equal(t, Quarantined, b.Check("k").State, "%d deaths", i+1)
		}
	}
}

// TestIncarnationsThatAreGone checks that nothing is kept of incarnations that are no members.
func TestIncarnationsThatAreGone(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b := newBook(c, "b")
	for i := range uint64(1000) {
		x := Incarnation{"x", i}
		b.SetMembers([]Incarnation{x, d1})
		b.SetMembers([]Incarnation{d1})
		b.Down(x) // a request to it that ends late
		b.Lost("k", x)
	}
	require.Len(t, b.members, 1)
}

// TestEvidenceOutlastsHearsay checks that keys that are asked of a node after its death don't push
// out the key that was under way when it died.
func TestEvidenceOutlastsHearsay(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b := newBook(c, "b", a1)
	b.Lost("k", a1)
	for i := range 2 * 1024 {
		b.Refused(fmt.Sprint("asked later", i), a1)
	}
	require.Equal(t, Suspect, b.Check("k").State)
}

// TestLongKey checks that a node reads the other records of a message with a key that is too long
// for it.
func TestLongKey(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b, other := newBook(c, "b"), newBook(c, "c")
	b.o.MaxKey = 10_000
	long := strings.Repeat("k", 5000)
	b.Lost(long, a1)
	b.Lost("beside", a1)
	send(t, b, other)
	require.Equal(t, Suspect, other.Check("beside").State)
	require.Equal(t, Clear, other.Check(long).State)
}

// TestSilenceIsNoDeath checks that a member that could not be asked does not count as dead, and
// that one that was found dead counts as dead until it answers.
func TestSilenceIsNoDeath(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b := newBook(c, "b", a1)
	b.Down(a1)
	require.False(t, b.Dead(a1))
	b.Lost("k", a1)
	b.Down(a1)
	require.True(t, b.Dead(a1))
	b.Up(a1)
	require.False(t, b.Dead(a1))
}

// TestTrierOutOfReach checks that the trial of a member that can't be asked blocks the key for a
// bounded time, since that member could not report its end either.
func TestTrierOutOfReach(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b, trier := newBook(c, "b", a1, c1), newBook(c, "c", a1, b1)
	b.Lost("k", a1)
	send(t, b, trier)
	c.move(restAfterDeath)
	_, ok := trier.Begin("k")
	require.True(t, ok)
	send(t, trier, b)
	c.move(believeUnreachable + time.Second)
	require.Equal(t, OnTrial, b.Check("k").State, "it takes long")
	b.Down(c1)
	require.Equal(t, Verdict{State: Suspect, Deaths: []string{"a"}, Trier: b1}, b.Check("k"))
	b.Up(c1)
	require.Equal(t, OnTrial, b.Check("k").State)
}
