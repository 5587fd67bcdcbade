package cachevalkey

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

// FuzzParseValue parses any value. A fence of a record or lease is what a Write must find.
func FuzzParseValue(f *testing.F) {
	f.Add([]byte(newHeader(leaseKind)))
	f.Add([]byte(newHeader(recordKind) + "data"))
	f.Add([]byte(newHeader('x') + "data"))
	f.Add([]byte{})
	f.Add([]byte("R"))
	f.Fuzz(func(t *testing.T, value []byte) {
		s := parseValue(value)
		if s.Fence == foreignFence {
			require.Nil(t, s.Data)
			return
		}
		require.True(t, isHeader(s.Fence))
		require.True(t, bytes.HasPrefix(value, []byte(s.Fence)))
		require.Equal(t, s.Data != nil, value[0] == recordKind)
		if s.Data != nil {
			require.Equal(t, string(value), s.Fence+string(s.Data))
		}
	})
}

// FuzzParseLog parses any reply, here separated by line feeds.
func FuzzParseLog(f *testing.F) {
	f.Add("=\n1764590000000000\ntx\n1764590000000001\n1764590000\n5")
	f.Add("!\n1.7e15\nk0123456789abcdefkey\n1.7e15\n1764590000\n999999")
	f.Add("\n0\n0\n0")
	f.Add("=\nnan\n1\n1")
	f.Add("=\n-1\n1\n1")
	f.Add("=\n0x1p3\n1\n1")
	f.Add("1\n2")
	f.Add("1")
	f.Fuzz(func(t *testing.T, text string) {
		log, err := parseLog(strings.Split(text, "\n"))
		if err != nil {
			require.ErrorIs(t, err, errLogReply)
			return
		}
		require.GreaterOrEqual(t, log.now.UnixMicro(), int64(0))
		require.LessOrEqual(t, log.top, uint64(maxVersion))
		for _, e := range log.entries {
			require.LessOrEqual(t, e.version, log.top)
		}
		seen := 0
		for _, i := range tagsOf(log) {
			require.LessOrEqual(t, i.Version, log.top)
			if i.Tag == "" {
				seen++
			}
		}
		require.LessOrEqual(t, seen, 1)
		w := &watcher{s: &Storage{}, notify: func(n cache.Notice) { require.False(t, n.All) }}
		w.tell(log, 0)
	})
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		-time.Hour: 1, 0: 1, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000,
		1<<63 - 1: 9_223_372_036_855,
	} {
		require.Equal(t, want, millis(d), d)
	}
}
