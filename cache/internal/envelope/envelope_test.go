package envelope_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/cache/internal/envelope"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var records = map[string]envelope.Record{
	"value": {
		StoredAt: 1_700_000_000_000_000, TTL: time.Minute, StaleFor: time.Hour, Version: 7,
		Codec: "json", Value: []byte(`{"a":1}`),
	},
	"no end":  {StoredAt: 1, Codec: "bytes", Value: []byte("v")},
	"empty":   {Codec: "string", Value: []byte{}},
	"tags":    {TTL: time.Microsecond, Codec: "json", Tags: []string{"a", "", "b"}, Value: []byte("1")},
	"missing": {NotFound: true, StoredAt: 5, TTL: time.Second, Value: []byte{}},
}

func TestRoundTrip(t *testing.T) {
	for name, r := range records {
		data, err := envelope.Append([]byte("before"), "key", &r)
		require.NoError(t, err, name)
		got, err := envelope.Decode("key", data[len("before"):])
		require.NoError(t, err, name)
		require.Equal(t, r, got, name)
	}
}

// TestDamage changes each byte, and cuts at each length: no damage is taken for a record.
func TestDamage(t *testing.T) {
	for name, r := range records {
		data, err := envelope.Append(nil, "key", &r)
		require.NoError(t, err, name)
		for i := range data {
			damaged := bytes.Clone(data)
			damaged[i] ^= 0x40
			_, err := envelope.Decode("key", damaged)
			require.Error(t, err, "%s, byte %d", name, i)
			_, err = envelope.Decode("key", data[:i])
			require.ErrorIs(t, err, envelope.ErrGarbage, "%s, cut at %d", name, i)
		}
		_, err = envelope.Decode("another key", data)
		require.ErrorIs(t, err, envelope.ErrGarbage, name)
		data[3]++
		_, err = envelope.Decode("key", data)
		require.ErrorIs(t, err, envelope.ErrForeign, name)
	}
}

func TestBounds(t *testing.T) {
	for name, r := range map[string]envelope.Record{
		"codec":    {Codec: strings.Repeat("x", envelope.MaxCodec+1)},
		"tags":     {Tags: make([]string, envelope.MaxTags+1)},
		"tag":      {Tags: []string{strings.Repeat("x", envelope.MaxTag+1)}},
		"TTL":      {TTL: -1},
		"StaleFor": {StaleFor: -1},
		"StoredAt": {StoredAt: -1},
		"missing":  {NotFound: true, Value: []byte("v")},
	} {
		data, err := envelope.Append([]byte("before"), "key", &r)
		require.Error(t, err, name)
		require.Equal(t, "before", string(data), name)
	}
}

// FuzzDecode decodes whatever there is. What is accepted has no other encoding.
func FuzzDecode(f *testing.F) {
	for _, r := range records {
		data, err := envelope.Append(nil, "key", &r)
		require.NoError(f, err)
		f.Add("key", data)
		f.Add("another", data)
		f.Add("key", data[:len(data)-1])
	}
	f.Add("", []byte("SFR\x02"))
	f.Fuzz(func(t *testing.T, key string, data []byte) {
		r, err := envelope.Decode(key, data)
		if err != nil {
			require.Equal(t, envelope.Record{}, r)
			return
		}
		again, err := envelope.Append(nil, key, &r)
		require.NoError(t, err)
		require.Equal(t, data, again)
	})
}

// FuzzSealed decodes what has the right beginning and checksum, which FuzzDecode rarely finds.
func FuzzSealed(f *testing.F) {
	const covered = 8
	for _, r := range records {
		data, err := envelope.Append(nil, "key", &r)
		require.NoError(f, err)
		f.Add("key", data[covered:])
		f.Add("", data[covered:len(data)-1])
	}
	f.Fuzz(func(t *testing.T, key string, body []byte) {
		table := crc32.MakeTable(crc32.Castagnoli)
		sum := crc32.Update(crc32.Checksum([]byte(key), table), table, body)
		data := append(binary.LittleEndian.AppendUint32([]byte("SFR\x01"), sum), body...)
		r, err := envelope.Decode(key, data)
		if err != nil {
			require.ErrorIs(t, err, envelope.ErrGarbage)
			require.Equal(t, envelope.Record{}, r)
			return
		}
		again, err := envelope.Append(nil, key, &r)
		require.NoError(t, err)
		require.Equal(t, data, again)
	})
}
