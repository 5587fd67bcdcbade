package cachevalkey

import (
	"context"
	"crypto/tls"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valkey-io/valkey-go"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/leak"
	"github.com/snowfence/snowfence/internal/valkeytest"
)

// A closed cluster client has timers that run for up to five seconds.
func TestMain(m *testing.M) { os.Exit(leak.Run(m, 10*time.Second)) }

// patience bounds what must not take for ever.
const patience = time.Minute

// at returns options for a server without TLS.
func at(addrs ...string) Options {
	return Options{Client: valkey.ClientOption{InitAddress: addrs}}
}

// open returns a Storage that is closed at the end of the test.
func open(tb testing.TB, o Options) *Storage {
	tb.Helper()
	s, err := New(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

// start starts a server and returns a Storage on it.
func start(tb testing.TB) (*valkeytest.Server, *Storage) {
	tb.Helper()
	server := valkeytest.Run(tb, valkeytest.Options{})
	return server, open(tb, at(server.Addr()))
}

func withTLS(o Options, config *tls.Config) Options {
	o.Client.TLSConfig = config
	return o
}

// within returns a context for what must not take for ever.
func within(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

func do(tb testing.TB, server *valkeytest.Server, command ...string) any {
	tb.Helper()
	reply, err := server.Do(within(tb), command...)
	require.NoError(tb, err)
	return reply
}

func read(tb testing.TB, s *Storage, keys ...string) cache.Reading {
	tb.Helper()
	r, err := s.Read(within(tb), keys, 0)
	require.NoError(tb, err)
	require.Len(tb, r.Stored, len(keys))
	for _, stored := range r.Stored {
		require.NotEmpty(tb, stored.Fence)
	}
	return r
}

// data returns what is stored for a key.
func data(tb testing.TB, s *Storage, key string) string {
	tb.Helper()
	stored := read(tb, s, key).Stored[0]
	if stored.Data == nil {
		return "nothing"
	}
	return string(stored.Data)
}

func fence(tb testing.TB, s *Storage, key string) string {
	tb.Helper()
	return read(tb, s, key).Stored[0].Fence
}

func store(tb testing.TB, s *Storage, key, value, fence string) {
	tb.Helper()
	require.NoError(tb, s.Write(within(tb), []cache.Record{
		{Key: key, Data: []byte(value), Fence: fence, Keep: time.Hour},
	}))
}
