package deletes

import (
	"encoding/binary"
	"encoding/hex"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample returns a message with entries of each kind.
func sample() message {
	return message{
		from: 0x1111111111111111, more: true, acked: 2, after: 300,
		dropped: 2,
		entries: []entry{
			{mark{0x1111111111111111, 299}, Delete{Kind: missed}, 0},
			{mark{0x4444444444444444, 5}, Delete{Kind: missed}, 0},
			{mark{0x1111111111111111, 300}, Delete{Key, "a"}, 0},
			{mark{0x1111111111111111, 301}, Delete{Tag, "a"}, 0},
			{mark{0x3333333333333333, 1}, Delete{Kind: All}, 0},
			{mark{0x3333333333333333, 2}, handoverOf(mark{9, 127}), 0},
			{mark{0x1111111111111111, 302}, Delete{Key, "\x00é"}, 0},
			{mark{0x5555555555555555, 6}, Delete{Kind: missed}, 0},
		},
	}
}

// The format has not changed. If it has to change, its version must too.
func TestFormat(t *testing.T) {
	const (
		a, b, c, d = "1111111111111111", "3333333333333333", "4444444444444444", "5555555555555555"
		want       = "04" + a + "02" + "d904" + // version, sender, acked, after
			"02" + "08" + a + "ab02" + "04" + c + "05" + "04" + // count of dropped entries, and entries
			a + "ac02" + "08" + "61" + a + "ad02" + "09" + "61" + b + "01" + "02" +
			b + "02" + "8301" + "0900000000000000" + "7f00000000000000" +
			a + "ae02" + "18" + "00c3a9" + d + "06" + "04"
	)
	data := sample().encode()
	require.Equal(t, want, hex.EncodeToString(data))
	require.LessOrEqual(t, len(data), cap(data))
	m, err := decode(data)
	require.NoError(t, err)
	require.Equal(t, sample(), m)
	require.Equal(t, "03"+"0100000000000000"+"00"+"0200000000000000"+"ac02",
		hex.EncodeToString(encodeAfter([]mark{{1, 0}, {2, 300}})))
}

func TestMalformed(t *testing.T) {
	good := sample().encode()
	edit := func(f func(*message)) []byte {
		m := sample()
		f(&m)
		return m.encode()
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "cut off"},
		{"version", append([]byte{3}, good[1:]...), "version is 3"},
		{"trailing", append(slices.Clone(good), 0), "1 bytes follow"},
		{"long varint", slices.Concat(good[:9], []byte{0x82, 0}, good[10:]), "too long"},
		{"own", edit(func(m *message) { m.from = 1 }), "this very incarnation"},
		{"large number", edit(func(m *message) { m.entries[0].seq = maxNumber + 1 }), "above"},
		{"large log", edit(func(m *message) { m.after = maxNumber }), "above"},
		{"long key", edit(func(m *message) {
			m.entries[0].Key = strings.Repeat("k", MaxKey+1)
		}), "a key of"},
		{"kind", edit(func(m *message) { m.entries[0].Kind = missed + 1 }), "of kind 5"},
		{"handover of nothing", edit(func(m *message) { m.entries[5].Key = "" }), "of kind 3"},
		{"handover and more", edit(func(m *message) { m.entries[5].Key += "x" }), "of kind 3"},
		{"never made", edit(func(m *message) { m.entries[2].mark = mark{1, 3} }), "has made 2"},
		{"never made, dropped", edit(func(m *message) { m.entries[0].mark = mark{1, 3} }), "has made 2"},
		{"never made, and handed over", edit(func(m *message) {
			m.entries[5].Delete = handoverOf(mark{1, 3})
		}), "has made 2"},
		{"more dropped than there is", edit(func(m *message) { m.dropped = 9 }), "9 of 8"},
		{"never sent", edit(func(m *message) { m.acked = 3 }), "which has 2"},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, tt.data, tt.want) })
	}
	for n := range good {
		refused(t, good[:n], "")
	}
}

// a returns a node that has made two deletes, and knows one of another node.
func a(tb testing.TB) (*node, *world) {
	tb.Helper()
	w := pair(nil)
	w.nodes[0].book.Delete("own")
	w.nodes[0].book.Delete("a")
	w.get(w.nodes[0], "k")
	return w.nodes[0], w
}

// state returns the state of the world's Books.
func (w *world) state() string { return string(w.append(nil)) }

// refused fails unless a message is refused, and nothing has changed.
func refused(t *testing.T, data []byte, want string) {
	t.Helper()
	n, w := a(t)
	before := w.state()
	_, err := n.book.Answer("x", data, w.size)
	require.ErrorIs(t, err, ErrMalformed)
	require.ErrorContains(t, err, want)
	require.Equal(t, before, w.state())
}

func TestAnswerOfAnother(t *testing.T) {
	n, w := a(t)
	_, err := n.book.Merge(3, w.nodes[1].book.Message(1, w.size))
	require.ErrorContains(t, err, "it is from incarnation 2, and not 3")
}

func TestRequireMalformed(t *testing.T) {
	good := encodeAfter([]mark{{2, 0}, {2, 300}})
	for name, after := range map[string][]byte{
		"version":     append([]byte{2}, good[1:]...),
		"no log":      good[:1],
		"cut off":     good[:len(good)-1],
		"large":       encodeAfter([]mark{{2, maxNumber + 1}}),
		"never made":  encodeAfter([]mark{{2, 0}, {2, 1}, {1, 3}}),
		"long varint": append(encodeAfter([]mark{{2, 127}})[:9], 0xff, 0),
		"trailing":    append(slices.Clone(good), 0),
	} {
		t.Run(name, func(t *testing.T) {
			n, w := a(t)
			before := w.state()
			_, err := n.book.Require("k", after)
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, before, w.state())
		})
	}
	n, _ := a(t)
	_, err := n.book.Require("k", nil)
	require.NoError(t, err)
	require.Len(t, n.store, 1)
}

// A number that announces many entries allocates nothing for them.
func TestHugeCounts(t *testing.T) {
	head, huge := sample().encode()[:12], binary.AppendUvarint(nil, 1<<40)
	for name, data := range map[string][]byte{
		"entries": slices.Concat(head, []byte{0}, huge),
		"key": slices.Concat(head, []byte{0, 1}, appendMark(nil, mark{7, 1}),
			binary.AppendUvarint(nil, MaxKey<<3)),
	} {
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decode(data)
		runtime.ReadMemStats(&now)
		require.ErrorIs(t, err, ErrMalformed, name)
		require.Less(t, now.TotalAlloc-before.TotalAlloc, uint64(1<<16), name)
	}
}
