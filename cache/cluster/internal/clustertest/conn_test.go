package clustertest

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// synTimeout bounds how long opening a connection over a cut link takes.
const synTimeout = 5 * time.Second

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// dial returns a dialer for HTTP whose connections go over links.
//
// Over a cut link they behave as TCP does on a network that loses packets: the system keeps what is
// written and sends it when the link heals, and what the other end has written can't be read until
// then. Neither end is notified, not even that a connection was closed. Opening one blocks. With
// linkState.Refuse connections are reset instead.
func (l *links) dial(inner dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		limited, cancel := context.WithTimeout(ctx, synTimeout)
		defer cancel()
		for {
			out, in, refuse, changed := l.http(addr)
			switch {
			case !out && !in:
				base, err := inner(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				c := &conn{Conn: base, links: l, to: addr, closed: make(chan struct{})}
				l.mu.Lock()
				l.conns[c] = struct{}{}
				l.mu.Unlock()
				return c, nil
			case refuse:
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}
			select {
			case <-changed:
			case <-limited.Done():
				return nil, unreachable(addr)
			}
		}
	}
}

// http returns which directions to an address are cut, and a channel that is closed when that may
// have changed.
func (l *links) http(addr string) (out, in, refuse bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return has(l.state.HTTPOut, addr), has(l.state.HTTPIn, addr), l.state.Refuse, l.changed
}

// A conn is an HTTP connection that this node has opened.
type conn struct {
	net.Conn
	links  *links
	to     string
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex // guards held, and keeps writes in order
	held []byte     // written while the link was cut
	shut bool       // Close was called while the link was cut
}

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out, in, refuse, _ := c.links.http(c.to)
	switch {
	case c.shut:
		return 0, net.ErrClosed
	case refuse && (out || in):
		return 0, errReset
	case out:
		c.held = append(c.held, b...)
		return len(b), nil
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// flush sends what was held back. mu is held.
func (c *conn) flush() error {
	if len(c.held) == 0 {
		return nil
	}
	b := c.held
	c.held = nil
	_, err := c.Conn.Write(b)
	return err
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for {
		_, in, _, changed := c.links.http(c.to)
		if !in {
			return n, err
		}
		select {
		case <-changed:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
}

// linkChanged sends what was held back, if the link works.
func (c *conn) linkChanged() {
	out, in, refuse, _ := c.links.http(c.to)
	if refuse && (out || in) {
		_ = c.Conn.Close()
		return
	}
	if out {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.SetWriteDeadline(time.Now().Add(time.Second)) // the other process may be stopped
	if err == nil {
		err = errors.Join(c.flush(), c.SetWriteDeadline(time.Time{}))
	}
	if err != nil || c.shut {
		c.forget()
		_ = c.Conn.Close()
	}
}

func (c *conn) forget() {
	c.links.mu.Lock()
	delete(c.links.conns, c)
	c.links.mu.Unlock()
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.mu.Lock()
	defer c.mu.Unlock()
	out, _, refuse, _ := c.links.http(c.to)
	if out && !refuse {
		c.shut = true // the other end is notified when the link heals
		return c.SetReadDeadline(time.Now())
	}
	c.forget()
	return c.Conn.Close()
}

// abandon closes the connections whose other ends were not notified.
func (l *links) abandon() {
	l.set(linkState{})
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Conn.Close()
	}
}
