package registry

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each conflict counts once on each node that sees it, by its outcome for the node.
func TestConflictsAreCountedByOutcome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a", one)
		b, _ := lan.open(t, "b", one)
		c, _ := lan.open(t, "c", one)
		synctestWait()
		lan.split(a, b)
		synctestWait()
		for _, r := range []*Registry{a, b} {
			_, err := r.Register(t.Context(), "x", nil)
			require.NoError(t, err)
			synctestWait()
		}
		lan.heal(a, b)
		time.Sleep(10 * time.Second)
		type outcomes struct{ all, kept, lost, elsewhere uint64 }
		of := func(r *Registry) outcomes {
			s := r.Stats().Partitions[0]
			return outcomes{s.Conflicts, s.Kept, s.Lost, s.Elsewhere}
		}
		require.Equal(t, outcomes{all: 1, lost: 1}, of(a))
		require.Equal(t, outcomes{all: 1, kept: 1}, of(b))
		require.Equal(t, outcomes{all: 1, elsewhere: 1}, of(c))
	})
}

// The stats of a node show that it fetches all names of another, and afterwards that it has done
// so.
func TestResyncsAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a", one)
		g, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		for i := range 2000 { // more than are remembered
			require.NoError(t, g.Release())
			if g, err = a.Register(t.Context(), string(rune('0'+i)), nil); err != nil {
				require.NoError(t, err)
			}
			if i%100 == 0 {
				synctestWait()
			}
		}
		synctestWait()
		b, _ := lan.open(t, "b", one)
		time.Sleep(10 * time.Second)
		s := b.Stats().Partitions[0]
		require.NotZero(t, s.Resyncs)
		require.Zero(t, s.Syncing)
		require.Equal(t, 1, b.Len())
	})
}
