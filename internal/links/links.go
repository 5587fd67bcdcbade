// Package links is a memberlist transport of which single links can be cut, for load tools that cut
// a cluster of processes apart.
package links

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

// Links are a node's transport, of which single links can be cut: what the node sends over a cut
// one is lost, and no stream can be opened. To cut a link for good both of its ends must do so,
// which also works where they are processes.
type Links struct {
	memberlist.NodeAwareTransport

	mu   sync.Mutex // guards all below
	cut  map[string]struct{}
	dead bool // all links are cut
	open map[*stream]struct{}

	packets, streams, bytes uint64
}

// Listen opens a transport on the loopback interface, at a port or, if that is 0, at one that the
// kernel chooses.
func Listen(port int) (*Links, error) {
	var err error
	for range 10 { // a port that is free for TCP need not be for UDP
		var base *memberlist.NetTransport
		base, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{"127.0.0.1"}, BindPort: port, Logger: log.New(io.Discard, "", 0),
		})
		if err == nil {
			return &Links{NodeAwareTransport: base, cut: make(map[string]struct{}),
				open: make(map[*stream]struct{})}, nil
		}
		if port != 0 {
			break
		}
	}
	return nil, fmt.Errorf("listening: %w", err)
}

// Set cuts the links to these addresses, and resets the streams that are open over them. All others
// work again.
func (l *Links) Set(addrs []string) {
	l.change(func() {
		clear(l.cut)
		for _, a := range addrs {
			l.cut[a] = struct{}{}
		}
	})
}

// Silence cuts all links for good.
func (l *Links) Silence() { l.change(func() { l.dead = true }) }

// isCut tells whether nothing is sent to an address. mu is held.
func (l *Links) isCut(addr string) bool {
	_, cut := l.cut[addr]
	return cut || l.dead
}

func (l *Links) change(f func()) {
	l.mu.Lock()
	f()
	var broken []*stream
	for s := range l.open {
		if l.isCut(s.to) {
			broken = append(broken, s)
		}
	}
	l.mu.Unlock()
	for _, s := range broken {
		_ = s.Close() // whoever uses it sees that it failed
	}
}

// sends counts what is about to be sent and reports whether it may be.
func (l *Links) sends(addr string, packets, bytes int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut(addr) {
		return false
	}
	l.packets += uint64(packets) //nolint:gosec // not negative
	l.bytes += uint64(bytes)     //nolint:gosec // not negative
	return true
}

// Count returns what has been sent.
func (l *Links) Count() (packets, streams, bytes uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.packets, l.streams, l.bytes
}

// WriteTo implements memberlist.Transport.
func (l *Links) WriteTo(b []byte, addr string) (time.Time, error) {
	return l.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (l *Links) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if !l.sends(a.Addr, 1, len(b)) {
		return time.Now(), nil // a packet that is lost is no error
	}
	return l.NodeAwareTransport.WriteToAddress(b, a)
}

// DialTimeout implements memberlist.Transport.
func (l *Links) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return l.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (l *Links) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if !l.sends(a.Addr, 0, 0) {
		return nil, unreachable(a.Addr)
	}
	c, err := l.NodeAwareTransport.DialAddressTimeout(a, timeout)
	if err != nil {
		return nil, err
	}
	s := &stream{Conn: c, links: l, to: a.Addr}
	l.mu.Lock()
	cut := l.isCut(a.Addr)
	if !cut {
		l.streams++
		l.open[s] = struct{}{}
	}
	l.mu.Unlock()
	if cut {
		_ = c.Close()
		return nil, unreachable(a.Addr)
	}
	return s, nil
}

// unreachable is an error as the network would give.
func unreachable(addr string) error {
	return &net.OpError{Op: "dial", Net: "tcp",
		Err: fmt.Errorf("link to %s is cut: %w", addr,
			os.NewSyscallError("connect", syscall.EHOSTUNREACH))}
}

// A stream counts what is written to it.
type stream struct {
	net.Conn
	links *Links
	to    string
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.links.mu.Lock()
	s.links.bytes += uint64(max(n, 0)) //nolint:gosec // not negative
	s.links.mu.Unlock()
	return n, err
}

func (s *stream) Close() error {
	s.links.mu.Lock()
	delete(s.links.open, s)
	s.links.mu.Unlock()
	return s.Conn.Close()
}
