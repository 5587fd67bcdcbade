package deletes

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever arrives, it is either refused, and nothing changes, or it is a message that would be
// written the same way.
func FuzzAnswer(f *testing.F) {
	f.Add(sample().encode())
	n, w := a(f)
	n.book.InvalidateTag("b")
	n.book.Clear()
	f.Add(w.nodes[0].book.Message(2, w.size))
	f.Add(w.nodes[1].book.Message(1, w.size))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, w := a(t)
		n.book.o.Max, n.book.maxSpare, n.book.maxDeparted = 3, 1, 2
		before := w.state()
		if _, err := n.book.Answer("x", data, w.size); err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, before, w.state())
			return
		}
		m, err := decode(data)
		require.NoError(t, err)
		require.Equal(t, data, m.encode())
		kept := 0
		for _, c := range n.book.chapters {
			require.Equal(t, c.applied, c.shown())
			kept += len(c.items)
		}
		require.Equal(t, kept, n.book.kept)
		require.LessOrEqual(t, kept, 3)
		require.LessOrEqual(t, len(n.book.chapters), 1+len(n.book.peers)+2)
		_, err = decode(n.book.Message(m.from, w.size))
		require.NoError(t, err)
		for _, x := range m.parts {
			if c := n.book.chapters[x.origin]; c != nil {
				require.GreaterOrEqual(t, c.applied, x.upTo())
			}
		}
		_, err = n.book.Answer("x", data, w.size)
		require.NoError(t, err, "again")
	})
}

func FuzzRequire(f *testing.F) {
	f.Add("k", encodeAfter([]mark{{1, 2}, {2, 300}}))
	f.Add("", []byte{afterVersion})
	f.Fuzz(func(t *testing.T, key string, after []byte) {
		n, w := a(t)
		_, there := n.store[key]
		before := w.state()
		if _, err := n.book.Require(key, after); err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, before, w.state())
			return
		}
		marks, err := decodeAfter(after)
		if len(after) == 0 {
			return
		}
		require.NoError(t, err)
		require.Equal(t, after, encodeAfter(marks))
		done := len(marks) > 0
		for _, m := range marks {
			done = done && n.book.has(m.origin) >= m.seq
		}
		_, still := n.store[key]
		require.Equal(t, there && done, still)
	})
}
