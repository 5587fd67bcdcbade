package cachevalkey

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A proxy stands between a client and a server. It can cut connections, and counts round trips.
type proxy struct {
	addr  string
	trips atomic.Int64 // times that a client has sent something after the server did

	target   string
	listener net.Listener
	handlers sync.WaitGroup

	mu     sync.Mutex                // guards the following
	conns  map[net.Conn]*atomic.Bool // whether what arrives is swallowed
	refuse bool
}

func newProxy(tb testing.TB, target string) *proxy {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	p := &proxy{addr: l.Addr().String(), target: target, listener: l}
	p.conns = make(map[net.Conn]*atomic.Bool)
	p.handlers.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.handlers.Go(func() { p.serve(client) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.cut(true)
		p.handlers.Wait()
	})
	return p
}

// cut closes all connections, and refuses new ones until cut(false) is called.
func (p *proxy) cut(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
	for c := range p.conns {
		_ = c.Close()
	}
}

// swallow makes all connections there are go dead without a sign: what arrives is swallowed.
func (p *proxy) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, dead := range p.conns {
		dead.Store(true)
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target) //nolint:noctx // of this machine
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	if p.refuse {
		p.mu.Unlock()
		return
	}
	dead := new(atomic.Bool)
	p.conns[client], p.conns[server] = dead, dead
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
		delete(p.conns, server)
	}()

	var turn atomic.Bool // the client has sent something, and the server has not answered yet
	p.handlers.Go(func() {
		_, _ = io.Copy(writer(func(b []byte) (int, error) {
			if !turn.Swap(true) {
				p.trips.Add(1)
			}
			if dead.Load() {
				return len(b), nil
			}
			return server.Write(b)
		}), client)
		_ = server.Close()
	})
	_, _ = io.Copy(writer(func(b []byte) (int, error) {
		turn.Store(false)
		if dead.Load() {
			return len(b), nil
		}
		return client.Write(b)
	}), server)
}

// A writer is a function that is an io.Writer.
type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
