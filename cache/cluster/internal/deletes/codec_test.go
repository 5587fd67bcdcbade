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

// sample is a message that has everything in it.
func sample() message {
	return message{
		from: 0x1111111111111111, version: 300, knows: 7, full: true, more: true,
		vector: []progress{
			{mark{0x1111111111111111, 300}, false}, {mark{0x3333333333333333, 7}, true},
		},
		parts: []part{
			{0x1111111111111111, 10, []Delete{
				{Key, "a"}, {Tag, "a"}, {Kind: All}, {handover, encodeMark(mark{9, 127})}, {Key, "\x00é"},
			}},
			{0x4444444444444444, 5, nil},
		},
	}
}

// The format is what it was. Where it has to change, its version must too.
func TestFormat(t *testing.T) {
	const want = "03" + "03" + "1111111111111111" + "ac02" + "07" + // version, flags, sender, versions
		"02" + "1111111111111111" + "d804" + "3333333333333333" + "0f" + // vector
		"02" + "1111111111111111" + "0a" + "05" + // chapter, 10, 5 deletes
		"04" + "61" + "05" + "61" + "02" + "27" + "0900000000000000" + "7f" + "0c" + "00c3a9" +
		"4444444444444444" + "05" + "00"
	data := sample().encode()
	require.Equal(t, want, hex.EncodeToString(data))
	require.LessOrEqual(t, len(data), cap(data))
	m, err := decode(data)
	require.NoError(t, err)
	require.Equal(t, sample(), m)
	require.Equal(t, "02"+"0100000000000000"+"ac02"+"0300000000000000"+"7f",
		hex.EncodeToString(encodeAfter([]mark{{1, 300}, {3, 127}})))
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
		{"version", append([]byte{2}, good[1:]...), "version is 2"},
		{"flags", slices.Concat(good[:1], []byte{4}, good[2:]), "flags 0x4"},
		{"trailing", append(slices.Clone(good), 0), "1 bytes follow"},
		{"no sender", edit(func(m *message) { m.from = 0 }), "no sender"},
		{"own", edit(func(m *message) { m.from = 1 }), "this very incarnation"},
		{"long varint", slices.Concat(good[:12], []byte{0x87, 0}, good[13:]), "version of a vector"},
		{"origin 0", edit(func(m *message) { m.vector[0].origin = 0 }), "origin or number is 0"},
		{"number 0", edit(func(m *message) { m.vector[0].seq = 0 }), "number is 0"},
		{"order", edit(func(m *message) { slices.Reverse(m.vector) }), "not in order"},
		{"order of chapters", edit(func(m *message) { slices.Reverse(m.parts) }), "not in order"},
		{"twice", edit(func(m *message) { m.parts[1].origin = m.parts[0].origin }), "not in order"},
		{"large number", edit(func(m *message) { m.vector[0].seq = maxSeq + 1 }), "above"},
		{"large chapter", edit(func(m *message) { m.parts[0].after = maxSeq }), "above"},
		{"long key", edit(func(m *message) { m.parts[0].items[0].Key = strings.Repeat("k", MaxKey+1) }), "length of a key"},
		{"clear of a key", edit(func(m *message) { m.parts[0].items[2].Key = "k" }), "a clear has a key"},
		{"handover of nothing", edit(func(m *message) { m.parts[0].items[3].Key = "" }), "a handover"},
		{"handover and more", edit(func(m *message) { m.parts[0].items[3].Key += "x" }), "a handover"},
		{"never made", edit(func(m *message) { m.vector = []progress{{mark{1, 3}, false}} }), "has made 2"},
		{"never made, in a chapter", edit(func(m *message) { m.parts = []part{{1, 0, make([]Delete, 3)}} }), "has made 2"},
		{"never made, below a chapter", edit(func(m *message) { m.parts = []part{{1, 3, nil}} }), "has made 2"},
		{"never made, handed over", edit(func(m *message) {
			m.parts[0].items[3].Key = encodeMark(mark{1, 3})
		}), "has made 2"},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, tt.data, tt.want) })
	}
	for n := range good {
		refused(t, good[:n], "")
	}
}

// a is a node that has made two deletes, and knows of another one.
func a(tb testing.TB) (*node, *world) {
	tb.Helper()
	w := pair(nil)
	w.nodes[0].book.Delete("own")
	w.nodes[0].book.Delete("a")
	w.get(w.nodes[0], "k")
	return w.nodes[0], w
}

// state returns all that matters of a Book.
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
	good := encodeAfter([]mark{{2, 300}})
	for name, after := range map[string][]byte{
		"version":     append([]byte{1}, good[1:]...),
		"too long":    slices.Concat([]byte{2}, slices.Repeat(good[1:], MaxAfter/10+1)),
		"origin 0":    encodeAfter([]mark{{0, 1}}),
		"number 0":    encodeAfter([]mark{{2, 0}}),
		"large":       encodeAfter([]mark{{2, maxSeq + 1}}),
		"never made":  encodeAfter([]mark{{2, 1}, {1, 3}}),
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
	_, err := n.book.Require(strings.Repeat("k", MaxKey+1), good)
	require.ErrorIs(t, err, ErrMalformed)
	_, err = n.book.Require("k", nil)
	require.NoError(t, err)
	require.Len(t, n.store, 1)
}

// A number that announces much has nothing allocated for it.
func TestHugeCounts(t *testing.T) {
	head := sample().encode()[:13]
	huge := binary.AppendUvarint(nil, 1<<40)
	chapter := slices.Concat(head, []byte{0, 1}, appendMark(nil, mark{7, 0}))
	for name, data := range map[string][]byte{
		"vector":   slices.Concat(head, huge),
		"chapters": slices.Concat(head, []byte{0}, huge),
		"deletes":  slices.Concat(chapter, huge),
		"key":      slices.Concat(chapter, []byte{1}, binary.AppendUvarint(nil, MaxKey<<2)),
	} {
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decode(data)
		runtime.ReadMemStats(&now)
		require.ErrorIs(t, err, ErrMalformed, name)
		require.Less(t, now.TotalAlloc-before.TotalAlloc, uint64(1<<16), name)
	}
}
