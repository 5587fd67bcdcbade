package cluster

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// A dialer opens connections for HTTP, and can cut those to some addresses: what is written to them
// is lost, nothing comes, and none can be opened. When a link is whole again its old connections
// break, as they would once both ends compare what was lost.
type dialer struct {
	mu   sync.Mutex               // guards what follows
	cut  map[string]chan struct{} // closed when the address is reached again
	open map[*conn]struct{}
}

func newDialer() *dialer {
	return &dialer{cut: make(map[string]chan struct{}), open: make(map[*conn]struct{})}
}

// transport returns a transport like package cluster's own, with the dialer.
func (d *dialer) transport() *http.Transport {
	return &http.Transport{DialContext: d.dial, MaxIdleConnsPerHost: 64, DisableCompression: true}
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	healed := d.cut[addr]
	d.mu.Unlock()
	if healed != nil {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-healed:
		}
	}
	base, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: base, d: d, to: addr}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[c] = struct{}{}
	return c, nil
}

// set cuts the links to these addresses. All others work again.
func (d *dialer) set(addrs []string) {
	d.mu.Lock()
	now := make(map[string]chan struct{}, len(addrs))
	for _, a := range addrs {
		if now[a] = d.cut[a]; now[a] == nil {
			now[a] = make(chan struct{})
		}
	}
	var broken []*conn
	for a, healed := range d.cut {
		if now[a] != nil {
			continue
		}
		close(healed)
		for c := range d.open {
			if c.to == a {
				broken = append(broken, c)
			}
		}
	}
	d.cut = now
	d.mu.Unlock()
	for _, c := range broken {
		_ = c.Close() // whoever uses it sees that it failed
	}
}

func (d *dialer) healed(addr string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cut[addr]
}

// A conn is a connection over a link that may be cut.
type conn struct {
	net.Conn
	d  *dialer
	to string
}

// Write loses what is written over a cut link.
func (c *conn) Write(b []byte) (int, error) {
	if c.d.healed(c.to) != nil {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read keeps back what comes over a cut link, until the connection is broken.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if healed := c.d.healed(c.to); healed != nil && err == nil {
		<-healed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *conn) Close() error {
	c.d.mu.Lock()
	delete(c.d.open, c)
	c.d.mu.Unlock()
	return c.Conn.Close()
}
