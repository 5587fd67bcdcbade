package valkeytest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// patience bounds what must not take for ever.
const patience = time.Minute

func do(t *testing.T, s *Server, command ...string) any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	reply, err := s.Do(ctx, command...)
	require.NoError(t, err)
	return reply
}

func TestServer(t *testing.T) {
	s := Run(t, Options{Unix: true, Args: []string{"--maxmemory", "3mb"}})
	do(t, s, "SET", "k", "v")
	require.Equal(t, "v", do(t, s, "GET", "k"))
	require.Nil(t, do(t, s, "GET", "none"))
	_, err := s.Do(t.Context(), "LPUSH", "k", "v")
	require.ErrorContains(t, err, "LPUSH: WRONGTYPE")
	maxmemory := asMap(do(t, s, "CONFIG", "GET", "maxmemory"))
	require.Equal(t, map[any]any{"maxmemory": "3145728"}, maxmemory)

	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", s.Socket())
	require.NoError(t, err)
	require.NoError(t, conn.Close())

	addr := s.Addr()
	s.Kill()
	s.Kill() // changes nothing
	_, err = s.Do(t.Context(), "PING")
	require.Error(t, err)
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, addr, s.Addr())
	require.Nil(t, do(t, s, "GET", "k"), "it starts empty")
	s.Stop()
	require.NoError(t, s.Close())
	_, err = os.Stat(s.dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func asMap(reply any) map[any]any {
	m := make(map[any]any)
	switch r := reply.(type) {
	case []any:
		for i := 0; i+1 < len(r); i += 2 {
			m[r[i]] = r[i+1]
		}
	case map[string]any:
		for k, v := range r {
			m[k] = v
		}
	}
	return m
}

func TestPersist(t *testing.T) {
	s := Run(t, Options{Persist: true})
	do(t, s, "SET", "k", "v")
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, "v", do(t, s, "GET", "k"))
}

func TestTLS(t *testing.T) {
	s := Run(t, Options{TLS: true})
	require.Equal(t, "PONG", do(t, s, "PING"))

	// Neither a client without a certificate nor one without TLS gets an answer.
	anonymous := s.TLS()
	anonymous.Certificates = nil
	anonymous.MaxVersion = tls.VersionTLS12 // the refusal is part of the handshake
	_, err := (&tls.Dialer{Config: anonymous}).DialContext(t.Context(), "tcp", s.Addr())
	require.Error(t, err)
}

func TestPause(t *testing.T) {
	if !Pausable {
		t.Skip("no SIGSTOP")
	}
	s := Run(t, Options{})
	require.NoError(t, s.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.Do(ctx, "PING")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, s.Resume())
	require.Equal(t, "PONG", do(t, s, "PING"))
	require.NoError(t, s.Pause())
	s.Kill()
	require.Error(t, s.Pause())
	require.Error(t, s.Resume())
}

func TestCluster(t *testing.T) {
	c := RunCluster(t, 3, Options{})
	require.Len(t, c.Addrs(), 3)
	stored := 0
	for _, s := range c.Servers {
		for i := range 30 {
			_, err := s.Do(t.Context(), "SET", fmt.Sprint("key", i), "v")
			if err == nil {
				stored++
				continue
			}
			require.ErrorContains(t, err, "MOVED")
		}
	}
	require.Equal(t, 30, stored, "each key has one server")
}

func TestErrors(t *testing.T) {
	if _, ok := Find(); !ok {
		t.Skipf("skipped: %v", ErrNotInstalled)
	}
	_, err := Start(t.Context(), Options{Args: []string{"--maxmemory", "much"}})
	require.ErrorContains(t, err, "the server has ended: ")
	require.ErrorContains(t, err, "maxmemory")

	t.Setenv("PATH", t.TempDir())
	_, err = Start(t.Context(), Options{})
	require.ErrorIs(t, err, ErrNotInstalled)
	skipper := &recorder{TB: t}
	require.PanicsWithValue(t, errSkip, func() { Run(skipper, Options{}) })
	require.Equal(t, "skipped: "+ErrNotInstalled.Error(), skipper.reason)
}

var errSkip = errors.New("skip")

// A recorder records why a test is skipped.
type recorder struct {
	TB
	reason string
}

func (r *recorder) Skipf(format string, args ...any) {
	r.reason = fmt.Sprintf(format, args...)
	panic(errSkip)
}
