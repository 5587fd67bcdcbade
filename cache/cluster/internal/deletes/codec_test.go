package deletes

import (
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sample is a message that has everything in it.
func sample() message {
	return message{
		from: 0x1111111111111111,
		to:   0x2222222222222222,
		vector: []progress{
			{run: 0x1111111111111111, applied: 300, ahead: spans{{302, 302}, {400, 409}}},
			{run: 0x3333333333333333, applied: 7, idle: true},
		},
		chapters: []chapter{
			{
				run: 0x1111111111111111, age: 5 * time.Millisecond,
				floor: 10, floored: time.Second, clear: 290, cleared: 900 * time.Millisecond,
				entries:  []aged{{295, 200 * time.Millisecond, "a"}, {409, 0, "\x00é"}},
				complete: true,
			},
			{run: 0x4444444444444444, entries: []aged{{1, time.Hour, ""}}},
		},
	}
}

// The format is what it was. Where it has to change, its version must too.
func TestFormat(t *testing.T) {
	const want = "01" + // version
		"1111111111111111" + "2222222222222222" + // from, to
		"02" + // runs of the vector
		"1111111111111111" + "ac02" + "04" + "00" + "00" + "6009" + // run, applied, 2 spans: 302, 400-409
		"3333333333333333" + "07" + "01" + // run, applied, idle
		"02" + // chapters
		"1111111111111111" + "07" + "05" + // run; floor, clear, complete; age
		"0a" + "e807" + "a202" + "8407" + // floor and age, clear and age
		"02" + "a702" + "c801" + "01" + "61" + // entries: number, age, key
		"72" + "00" + "03" + "00c3a9" +
		"4444444444444444" + "00" + "00" + "01" + "01" + "80dddb01" + "00"
	data := sample().encode()
	require.Equal(t, want, hex.EncodeToString(data))
	require.LessOrEqual(t, len(data), cap(data))
	require.Equal(t, cap(data), cap(sample().encode()), "the size was estimated right")
	m, err := decode(data)
	require.NoError(t, err)
	require.Equal(t, sample(), m)

	after := appendItem(appendItem(appendItem(nil, afterKey, ID{1, 300}), afterClear, ID{2, 1}), afterFloor, ID{3, 127})
	require.Equal(t, "01"+"010100000000000000ac02"+"02020000000000000001"+"0303000000000000007f",
		hex.EncodeToString(after))
}

func TestMalformed(t *testing.T) {
	good := sample().encode()
	edit := func(f func(*message)) []byte {
		m := sample()
		f(&m)
		return m.encode()
	}
	withChapter := func(rest string) []byte {
		data := edit(func(m *message) { m.chapters = nil })
		data[len(data)-1] = 1
		return append(data, "\x05\x00\x00\x00\x00\x00\x00\x00"+rest...)
	}
	many := func(n int) (v []progress) {
		for i := range n {
			v = append(v, progress{run: uint64(i + 1)})
		}
		return v
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "cut off"},
		{"version", append([]byte{2}, good[1:]...), "version 2"},
		{"trailing", append(slices.Clone(good), 0), "1 bytes follow"},
		{"too long", make([]byte, MaxMessage+1), "at most"},
		{"no sender", edit(func(m *message) { m.from = 0 }), "sender"},
		{"own", edit(func(m *message) { m.from = 9 }), "this very run"},
		{"run 0", edit(func(m *message) { m.vector[0].run = 0 }), "runs are 0"},
		{"order of runs", edit(func(m *message) { slices.Reverse(m.vector) }), "not in order"},
		{"order of chapters", edit(func(m *message) { slices.Reverse(m.chapters) }), "not in order"},
		{"twice the same run", edit(func(m *message) { m.chapters[1].run = m.chapters[0].run }), "not in order"},
		{"order of entries", edit(func(m *message) { m.chapters[0].entries[1].seq = 295 }), "not in order"},
		{"entry 0", edit(func(m *message) { m.chapters[1].entries[0].seq = 0 }), "is 0"},
		{"large number", edit(func(m *message) { m.chapters[0].clear = maxSeq + 1 }), "at most"},
		{"large entry", edit(func(m *message) { m.chapters[0].entries[1].seq = math.MaxUint64 }), "at most"},
		{"large applied", edit(func(m *message) { m.vector[0] = progress{run: 1, applied: maxSeq + 1} }), "at most"},
		{"span at the end", edit(func(m *message) {
			m.vector[0] = progress{run: 1, applied: maxSeq, ahead: spans{{maxSeq + 2, maxSeq + 2}}}
		}), "above"},
		{"long span", edit(func(m *message) { m.vector[0].ahead[1].last = math.MaxUint64 - 5 }), "at most"},
		{"long key", edit(func(m *message) {
			m.chapters[1].entries[0].key = strings.Repeat("k", MaxKey+1)
		}), "length of a key"},
		{"many runs", edit(func(m *message) { m.vector = many(maxListed + 1) }), "number of runs"},
		{"many spans", edit(func(m *message) {
			m.vector = many(3)
			for i := range 2*maxSpans + 1 {
				p := &m.vector[i%3]
				at := uint64(2 * (len(p.ahead) + 1))
				p.ahead = append(p.ahead, span{at, at})
			}
		}), "spans"},
		{"of this run in the vector", edit(func(m *message) { m.vector = []progress{{run: 9, applied: 3}} }), "has made 2"},
		{"of this run in a span", edit(func(m *message) {
			m.vector = []progress{{run: 9, ahead: spans{{3, 3}}}}
		}), "has made 2"},
		{"of this run", edit(func(m *message) {
			m.chapters = []chapter{{run: 9, entries: []aged{{seq: 3}}}}
		}), "has made 2"},
		{"floor of this run", edit(func(m *message) { m.chapters = []chapter{{run: 9, floor: 3}} }), "has made 2"},
		{"flags", withChapter("\x08\x00\x00"), "flags 0x8"},
		{"long varint", slices.Concat(good[:17], []byte{0x82, 0}, good[18:]), "not a number"},
		{"more entries than bytes", withChapter("\x00\x00\x03\x01\x00\x00"), "number of entries"},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, tt.data, tt.want) })
	}
	for n := range good {
		refused(t, good[:n], "")
	}
}

// refused fails unless Merge refuses data, and nothing has changed.
func refused(t *testing.T, data []byte, want string) {
	t.Helper()
	n := newNode(t, 9, nil)
	n.Delete("own")
	n.Delete("a")
	stats, vector, calls := n.Stats(), n.Vector(), len(n.applied)
	theirs, err := n.Merge(data)
	require.ErrorIs(t, err, ErrMalformed)
	require.ErrorContains(t, err, want)
	require.Empty(t, theirs)
	require.Equal(t, stats, n.Stats())
	require.Equal(t, vector, n.Vector())
	require.Len(t, n.applied, calls)
	require.Zero(t, n.resets)
}

func TestRequireMalformed(t *testing.T) {
	good := appendItem(nil, afterKey, ID{1, 300})
	for _, tt := range []struct {
		name  string
		key   string
		after []byte
	}{
		{"version", "a", append([]byte{2}, good[1:]...)},
		{"too long", "a", slices.Concat([]byte{1}, slices.Repeat(good[1:], MaxAfter/11+1))},
		{"long key", strings.Repeat("k", MaxKey+1), good},
		{"kind 0", "a", appendItem(nil, 0, ID{1, 1})},
		{"kind 4", "a", appendItem(nil, 4, ID{1, 1})},
		{"run 0", "a", appendItem(nil, afterKey, ID{0, 1})},
		{"number 0", "a", appendItem(nil, afterKey, ID{1, 0})},
		{"large number", "a", appendItem(nil, afterKey, ID{1, maxSeq + 1})},
		{"long varint", "a", append(appendItem(nil, afterKey, ID{1, 127})[:10], 0xff, 0)},
		{"of this run", "a", appendItem(nil, afterKey, ID{9, 3})},
		{"good and bad", "a", append(slices.Clone(good), 1, 2, 3)},
		{"good and of this run", "a", appendItem(slices.Clone(good), afterFloor, ID{9, 3})},
		{"trailing", "a", append(slices.Clone(good), 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t, 9, nil)
			n.Delete("own")
			n.Delete("a")
			stats, vector := n.Stats(), n.Vector()
			require.ErrorIs(t, n.Require(tt.key, tt.after), ErrMalformed)
			require.Equal(t, stats, n.Stats())
			require.Equal(t, vector, n.Vector())
			require.Len(t, n.applied, 2)
			require.Zero(t, n.resets)
		})
	}
	n := newNode(t, 9, nil)
	require.NoError(t, n.Require("a", nil))
	require.NoError(t, n.Require("a", []byte{1}))
	most := slices.Concat([]byte{1}, slices.Repeat(good[1:], MaxAfter/11))
	require.NoError(t, n.Require("a", most), "as much as there may be")
	require.Len(t, n.applied, 1)
}
