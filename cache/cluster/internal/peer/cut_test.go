package peer

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// line is a TCP proxy that can be cut: then nothing passes, and neither end is notified.
// Connections from before the cut stay dead after it is mended, as behind a firewall that has
// forgotten them.
type line struct {
	url  string
	to   string
	done sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns []*lineConn
	count int
}

type lineConn struct {
	near, far net.Conn
	dead      chan struct{}
	once      sync.Once
}

func newLine(tb testing.TB, url string) *line {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	p := &line{url: "http://" + l.Addr().String(), to: strings.TrimPrefix(url, "http://")}
	p.done.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			p.take(near)
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.set(true)
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.near.Close()
			_ = c.far.Close()
		}
		p.mu.Unlock()
		p.done.Wait()
	})
	return p
}

func (p *line) take(near net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	if p.cut {
		// The connection waits: over a real line there would be none.
		p.conns = append(p.conns, &lineConn{near: near, far: near, dead: make(chan struct{})})
		return
	}
	far, err := net.Dial("tcp", p.to) //nolint:noctx // on loopback
	if err != nil {
		_ = near.Close()
		return
	}
	c := &lineConn{near: near, far: far, dead: make(chan struct{})}
	p.conns = append(p.conns, c)
	p.done.Go(func() { c.copy(near, far) })
	p.done.Go(func() { c.copy(far, near) })
}

func (c *lineConn) copy(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		select {
		case <-c.dead:
			return
		default:
		}
		if n > 0 {
			_, _ = to.Write(b[:n])
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				_ = to.Close()
			}
			return
		}
	}
}

func (p *line) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if !cut {
		return
	}
	for _, c := range p.conns {
		c.once.Do(func() { close(c.dead) })
	}
}

// Over a line that is cut each asker waits no longer than its peer time-out, and its connection is
// given up. So the node is reached soon after the line is mended.
func TestLineIsCut(t *testing.T) {
	t.Parallel()
	a := configA()
	a.PeerTimeout = 150 * time.Millisecond
	n := connect(t, http1, a, configB(), backend{fetch: echo})
	p := newLine(t, strings.TrimSuffix(n.to.URL, "/_cache"))
	n.to.URL = p.url
	require.Eventually(t, func() bool {
		_, err := n.fetch(t.Context(), "k")
		return err == nil
	}, testPeerTimeout, time.Millisecond)

	p.set(true)
	for range maxFailures {
		began := time.Now()
		_, err := n.fetch(t.Context(), "k")
		unavailable(t, err, Silent)
		assert.GreaterOrEqual(t, time.Since(began), a.PeerTimeout)
	}
	_, err := n.fetch(t.Context(), "k")
	unavailable(t, err, PassedOver)
	p.mu.Lock()
	before := p.count
	p.mu.Unlock()
	p.set(false)
	require.Eventually(t, func() bool {
		_, err := n.fetch(t.Context(), "k")
		return err == nil
	}, testPeerTimeout, 20*time.Millisecond)
	assert.Equal(t, "closed", n.client.Breaker(n.to))
	p.mu.Lock()
	defer p.mu.Unlock()
	assert.Greater(t, p.count, before, "over a new connection")
	t.Logf("%d connections before, %d after", before, p.count)
}

// A firewall that forgets connections costs one wait, however many connections it has forgotten.
func TestForgottenConnections(t *testing.T) {
	t.Parallel()
	const conns = 10
	a := configA()
	a.PeerTimeout = 500 * time.Millisecond
	back, begun, end := waits()
	n := connect(t, http1, a, configB(), back)
	p := newLine(t, strings.TrimSuffix(n.to.URL, "/_cache"))
	n.to.URL = p.url
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			_, err := n.fetch(t.Context(), "k")
			assert.NoError(t, err)
		})
	}
	for range conns {
		receive(t, begun, "a request")
	}
	close(end)
	wg.Wait()
	p.set(true)
	p.set(false) // for new connections
	_, err := n.fetch(t.Context(), "k")
	unavailable(t, err, Silent)
	_, err = n.fetch(t.Context(), "k")
	require.NoError(t, err)
}
