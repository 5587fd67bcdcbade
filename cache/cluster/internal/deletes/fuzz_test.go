package deletes

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Any bytes are either refused, and nothing changes, or are a message that encodes to the same
// bytes.
func FuzzAnswer(f *testing.F) {
	f.Add(sample().encode())
	n, w := a(f)
	n.book.InvalidateTag("b")
	n.book.Clear()
	f.Add(w.nodes[0].book.Message(2, w.size))
	f.Add(w.nodes[1].book.Message(1, w.size))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, w := a(t)
		n.book.o.Max, n.book.maxSpare, n.book.maxHandedOver = 4, 1, 8
		before := w.state()
		if _, err := n.book.Answer("x", data, w.size); err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, before, w.state())
			return
		}
		m, err := decode(data)
		require.NoError(t, err)
		require.Equal(t, data, m.encode())
		require.Equal(t, n.book.lastShown(), n.book.applied)
		require.LessOrEqual(t, len(n.book.entries), 4)
		require.LessOrEqual(t, len(n.book.handedOver), 8)
		_, err = decode(n.book.Message(m.from, w.size))
		require.NoError(t, err)
		for _, e := range m.entries {
			if o := n.book.origins[e.origin]; o != nil {
				require.GreaterOrEqual(t, o.applied, e.seq)
			}
		}
		_, err = n.book.Answer("x", data, w.size)
		require.NoError(t, err, "again")
	})
}

func FuzzRequire(f *testing.F) {
	f.Add("k", encodeAfter([]mark{{2, 1}, {1, 2}, {2, 300}}))
	f.Add("", encodeAfter([]mark{{2, 0}}))
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
		done := n.book.peer(marks[0].origin).received >= marks[0].seq
		for _, m := range marks[1:] {
			done = done && n.book.origin(m.origin).applied >= m.seq
		}
		_, still := n.store[key]
		require.Equal(t, there && done, still)
	})
}
