package cutnet

import (
	"context"
	"net"
	"sync"
)

// DialContext returns a node's function for [net/http.Transport]. Over a cut link it blocks, what
// is written to a connection is lost, and nothing comes. Once the link is up again such connections
// break, as they would once both ends compare what was lost.
func (n *Network) DialContext(
	from string,
) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		for {
			n.mu.Lock()
			cut, changed := n.either(from, n.nameOf(addr)), n.changed
			n.mu.Unlock()
			if !cut {
				break
			}
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-changed:
			}
		}
		base, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: base, network: n, from: from, closed: make(chan struct{})}
		n.mu.Lock()
		defer n.mu.Unlock()
		c.to = n.nameOf(addr)
		c.cut = n.either(from, c.to)
		n.conns[c] = struct{}{}
		return c, nil
	}
}

// A conn is the opener's end of a connection.
type conn struct {
	net.Conn
	network  *Network
	from, to string
	cut      bool // guarded by network.mu
	once     sync.Once
	closed   chan struct{}
}

func (c *conn) isCut() bool {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	return c.cut
}

// Write loses what is written over a cut link.
func (c *conn) Write(b []byte) (int, error) {
	if c.isCut() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read keeps back what comes over a cut link, until the connection is closed.
func (c *conn) Read(b []byte) (int, error) {
	k, err := c.Conn.Read(b)
	if err == nil && c.isCut() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return k, err
}

// Close closes the connection.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}
