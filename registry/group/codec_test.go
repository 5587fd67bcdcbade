package group

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/registry"
)

func at(nanos int64, logical uint32) registry.Timestamp {
	return registry.Timestamp{Nanos: nanos, Logical: logical}
}

func TestListRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.Uint64(), 1, 20, rapid.ID[uint64]).Draw(t, "ids")
		var members []Member
		for _, id := range ids {
			m := Member{Node: "n", ID: id,
				Time: at(rapid.Int64().Draw(t, "nanos"), rapid.Uint32().Draw(t, "logical"))}
			if meta := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "meta"); len(meta) > 0 {
				m.Meta = meta
			}
			i, _ := find(members, id)
			members = append(members[:i], append([]Member{m}, members[i:]...)...)
		}
		got, err := parseList("n", appendList(nil, members))
		require.NoError(t, err)
		require.Equal(t, members, got)
	})
}

// The format must not change by mistake, because other versions read it.
func TestListFormat(t *testing.T) {
	members := []Member{
		{Node: "n", ID: 300, Time: at(1000, 0), Meta: []byte("x")},
		{Node: "n", ID: 301, Time: at(999, 2)},
		{Node: "n", ID: math.MaxUint64, Time: at(999, 0)},
	}
	b := appendList(nil, members)
	require.Equal(t, "0103"+"ac02d00f000178"+"00010200"+"d1fdffffffffffffff01000000",
		hex.EncodeToString(b))
	got, err := parseList("n", b)
	require.NoError(t, err)
	require.Equal(t, members, got)
	require.Equal(t, 1, cap(got[0].Meta), "appending to one's metadata must not write into another's")
}

func TestListRefused(t *testing.T) {
	for what, b := range map[string]string{
		"empty":                       "",
		"no count":                    "\x01",
		"no member":                   "\x01\x00",
		"a count that can't be":       "\x01\x02\x00\x00\x00\x00",
		"a huge count":                "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"cut off":                     "\x01\x01\x00\x00\x00\x05abc",
		"more than the members":       "\x01\x01\x00\x00\x00\x00x",
		"a number in a long form":     "\x01\x01\x80\x00\x00\x00\x00",
		"a logical part over 32 bits": "\x01\x01\x00\x00\x80\x80\x80\x80\x10\x00",
		"an ID past the last": "\x01\x02" +
			"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00",
		"an ID that overflows": "\x01\x02\x05\x00\x00\x00" +
			"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00",
	} {
		_, err := parseList("n", []byte(b))
		require.ErrorIs(t, err, errList, what)
	}
	_, err := parseList("n", []byte("\x02\x01\x00\x00\x00\x00"))
	require.ErrorIs(t, err, errListVersion)
	require.ErrorContains(t, err, "2, not 1")
}

func TestMaxBytes(t *testing.T) {
	members := []Member{{ID: 1}, {ID: 2, Meta: bytes.Repeat([]byte("x"), MaxBytes)}}
	_, err := list(strings.Repeat("g", 100), members)
	require.ErrorIs(t, err, ErrFull)
	var full *FullError
	require.ErrorAs(t, err, &full)
	require.Equal(t, 2, full.Members)
	require.Greater(t, full.Bytes, full.Max)
	require.ErrorContains(t, err, "want at most 60000")
	require.ErrorContains(t, err, "(100 bytes)")
	size := len(appendList(nil, members))
	members[1].Meta = members[1].Meta[:2*MaxBytes-size]
	b, err := list("g", members)
	require.NoError(t, err)
	require.Len(t, b, MaxBytes)
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x01\x01\x00\x00\x00\x00"))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\x02 of a later version"))
	f.Add(appendList(nil, []Member{{ID: 7, Time: at(1<<60, 3), Meta: []byte("abc")},
		{ID: 9, Time: at(1<<60-5, 0)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		members, err := parseList("n", b)
		if err != nil {
			require.Empty(t, members)
			return
		}
		require.LessOrEqual(t, len(members)*minMember, len(b))
		require.Equal(t, b, appendList(nil, members), "one encoding only")
		for i := 1; i < len(members); i++ {
			require.Less(t, members[i-1].ID, members[i].ID)
		}
	})
}
