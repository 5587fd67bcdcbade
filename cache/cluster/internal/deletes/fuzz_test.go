package deletes

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever arrives, it is either refused, and nothing changes, or it is a message that would be written the same way.
func FuzzMerge(f *testing.F) {
	f.Add(sample().encode())
	n := newNode(f, 1, nil)
	n.Delete("a")
	n.Clear()
	n.Delete("b")
	n.Delete("b")
	data, _ := n.Message(Vector{}, 1<<20)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		n := newNode(t, 9, nil)
		n.maxRuns, n.maxSpans = 3, 3
		n.Delete("a")
		stats, vector, applied := n.Stats(), n.Vector(), len(n.applied)
		theirs, err := n.Merge(data)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, stats, n.Stats())
			require.Equal(t, vector, n.Vector())
			require.Len(t, n.applied, applied)
			require.Zero(t, n.resets)
			return
		}
		m, err := decode(data)
		require.NoError(t, err)
		require.Equal(t, data, m.encode())
		require.NoError(t, n.audit())
		for _, c := range m.chapters {
			for _, a := range c.entries {
				require.True(t, n.resets > 0 || n.Vector().Covers(ID{c.run, a.seq}) || n.Stats().Runs > 3)
			}
		}
		again, err := n.Merge(data)
		require.NoError(t, err)
		require.Equal(t, theirs, again)
		require.NoError(t, n.audit())
		answer, _ := n.Message(theirs, 1<<20)
		_, err = decode(answer)
		require.NoError(t, err)
	})
}

func FuzzRequire(f *testing.F) {
	keyAndClear := appendItem(appendItem(nil, afterKey, ID{1, 300}), afterClear, ID{2, 1})
	f.Add("key", appendItem(keyAndClear, afterFloor, ID{3, 127}))
	f.Add("", []byte{afterVersion})
	f.Fuzz(func(t *testing.T, key string, after []byte) {
		n := newNode(t, 9, nil)
		n.Delete("a")
		vector := n.Vector()
		if err := n.Require(key, after); err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, vector, n.Vector())
			require.Len(t, n.applied, 1)
			require.Zero(t, n.resets)
			return
		}
		applied, resets := len(n.applied), n.resets
		require.NoError(t, n.Require(key, after))
		require.Len(t, n.applied, applied, "once is enough")
		require.Equal(t, resets, n.resets)
		other := newNode(t, 8, nil)
		if err := other.Require(key, n.After(key)); err != nil {
			require.ErrorContains(t, err, "of this run", "what is passed on makes sense otherwise")
		}
	})
}
