package quarantine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAge checks that a quarantine ends at the same time on a node that learns of it later.
func TestAge(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b, other := newBook(c, "b"), newBook(c, "c")
	b.Lost("k", a1)
	b.Lost("k", d1)
	until := b.Check("k").Until
	c.move(10 * time.Second)
	send(t, b, other)
	require.Equal(t, until, other.Check("k").Until)
	c.move(time.Second)
	send(t, b, other)
	require.Equal(t, until, other.Check("k").Until)
}

// TestMergeInAnyOrder merges random records in random orders, some twice: the result is the same.
func TestMergeInAnyOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
	c := &clock{time.Unix(1000, 0)}
	for range 200 {
		var messages [][]byte
		for range 6 {
			b := newBook(c, fmt.Sprint("n", rng.IntN(3)))
			for range 10 {
				at := Incarnation{fmt.Sprint("n", rng.IntN(5)), 1}
				switch key := fmt.Sprint("k", rng.IntN(3)); rng.IntN(4) {
				case 0:
					b.Lost(key, at)
				case 1:
					b.Begin(key)
				case 2:
					b.Ready(key)
				case 3:
					b.End(rng.IntN(2) == 0, key)
				}
			}
			message, _ := b.Message(0, 1<<20)
			messages = append(messages, message)
		}
		first, second := newBook(c, "x"), newBook(c, "x")
		for _, i := range rng.Perm(len(messages)) {
			_, err := first.Merge(messages[i])
			require.NoError(t, err)
		}
		for range 2 {
			for _, i := range rng.Perm(len(messages)) {
				_, err := second.Merge(messages[i])
				require.NoError(t, err)
			}
		}
		require.Equal(t, marksOf(first), marksOf(second))
	}
}

func marksOf(b *Book) map[string]map[Incarnation]mark {
	all := make(map[string]map[Incarnation]mark)
	for key, r := range b.records {
		all[key] = r.marks
	}
	return all
}

// TestUnseenTrial checks that the trial of an incarnation that is no member does not block a key.
func TestUnseenTrial(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b, gone := newBook(c, "b"), newBook(c, "c")
	gone.Lost("k", a1)
	_, ok := gone.Begin("k")
	require.True(t, ok)
	send(t, gone, b)
	require.Equal(t, Suspect, b.Check("k").State)
	b.SetMembers([]Incarnation{c1})
	require.Equal(t, OnTrial, b.Check("k").State)
	b.SetMembers(nil)
	require.Equal(t, Quarantined, b.Check("k").State)
}

// FuzzMerge merges any bytes into a Book. They either are refused and change nothing, or become a
// record that the Book sends.
func FuzzMerge(f *testing.F) {
	c := &clock{time.Unix(1000, 0)}
	b := newBook(c, "b")
	b.Lost("k", a1)
	b.Begin("k")
	message, _ := b.Message(0, 1<<20)
	f.Add(message)
	f.Add(message[:len(message)-1])
	f.Add([]byte{})
	f.Add([]byte(`null`))
	f.Add([]byte(`{"k":"aw==","a":-1,` +
		`"m":[{"n":"b","i":1,"l":18446744073709551615,"t":18446744073709551615}]}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		b := newBook(c, "b")
		if _, err := b.Merge(message); err != nil {
			require.ErrorIs(t, err, ErrMessage)
			require.True(t, b.Empty())
			return
		}
		other := newBook(c, "c")
		out, _ := b.Message(0, 1<<30)
		_, err := other.Merge(out)
		require.NoError(t, err)
		for key := range b.records {
			_, err := other.Merge(b.Record(key))
			require.NoError(t, err)
		}
		b.Refused("more", a1)
		b.Stats()
	})
}
