package clustertest

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// links holds a node's ends of its links to others.
//
// What the registry sends over a cut link is lost. A stream needs both directions: with either cut
// it can't be opened, and those that are open are reset. HTTP connections are in links of their
// own, see dial.
type links struct {
	memberlist.NodeAwareTransport

	mu      sync.Mutex // guards all below
	state   linkState
	changed chan struct{} // closed when state changes
	streams map[*stream]struct{}
	conns   map[*conn]struct{}
}

// listen opens the registry's port.
func listen(port int) (*links, error) {
	base, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{"127.0.0.1"}, BindPort: port, Logger: log.New(io.Discard, "", 0),
	})
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return &links{
		NodeAwareTransport: base, changed: make(chan struct{}),
		streams: make(map[*stream]struct{}), conns: make(map[*conn]struct{}),
	}, nil
}

// set cuts the links in s, and heals all others.
func (l *links) set(s linkState) {
	l.mu.Lock()
	l.state = s
	close(l.changed)
	l.changed = make(chan struct{})
	var broken []*stream
	for s := range l.streams {
		if l.registryCut(s.to) {
			broken = append(broken, s)
		}
	}
	var conns []*conn
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, s := range broken {
		_ = s.Close() // its users see that it failed
	}
	for _, c := range conns {
		c.linkChanged()
	}
}

// registryCut reports whether a stream to an address is broken. mu is held.
func (l *links) registryCut(addr string) bool {
	return has(l.state.RegistryOut, addr) || has(l.state.RegistryIn, addr)
}

func has(list []string, x string) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}

func (l *links) WriteTo(b []byte, addr string) (time.Time, error) {
	return l.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (l *links) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	l.mu.Lock()
	lost, delay := has(l.state.RegistryOut, a.Addr), l.state.RegistryDelay
	l.mu.Unlock()
	switch {
	case lost:
		return time.Now(), nil // a packet that is lost is no error
	case delay > 0:
		late := append([]byte(nil), b...)
		time.AfterFunc(delay, func() { _, _ = l.NodeAwareTransport.WriteToAddress(late, a) })
		return time.Now(), nil
	}
	return l.NodeAwareTransport.WriteToAddress(b, a)
}

func (l *links) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return l.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (l *links) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	l.mu.Lock()
	cut, delay := l.registryCut(a.Addr), l.state.RegistryDelay
	l.mu.Unlock()
	if cut {
		return nil, unreachable(a.Addr)
	}
	time.Sleep(delay)
	c, err := l.NodeAwareTransport.DialAddressTimeout(a, timeout)
	if err != nil {
		return nil, err
	}
	s := &stream{Conn: c, links: l, to: a.Addr}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.registryCut(a.Addr) {
		_ = c.Close()
		return nil, unreachable(a.Addr)
	}
	l.streams[s] = struct{}{}
	return s, nil
}

// unreachable returns an error as of a network.
func unreachable(addr string) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf(
		"link to %s is cut: %w", addr, os.NewSyscallError("connect", syscall.EHOSTUNREACH))}
}

// A stream of the registry.
type stream struct {
	net.Conn
	links *links
	to    string
}

func (s *stream) Close() error {
	s.links.mu.Lock()
	delete(s.links.streams, s)
	s.links.mu.Unlock()
	return s.Conn.Close()
}
