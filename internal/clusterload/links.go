package clusterload

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

// links is a node's transport, of which single links can be cut: what the node sends over a cut one is lost, and
// no stream can be opened. To cut a link for good both of its ends must do so, which also works where they
// are processes.
type links struct {
	memberlist.NodeAwareTransport

	mu   sync.Mutex // guards all below
	cut  map[string]struct{}
	dead bool // all links are cut
	open map[*stream]struct{}

	packets, streams, bytes uint64
}

func listen(port int) (*links, error) {
	var err error
	for range 10 { // a port that is free for TCP need not be for UDP
		var base *memberlist.NetTransport
		base, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{"127.0.0.1"}, BindPort: port, Logger: log.New(io.Discard, "", 0),
		})
		if err == nil {
			return &links{NodeAwareTransport: base, cut: make(map[string]struct{}), open: make(map[*stream]struct{})}, nil
		}
		if port != 0 {
			break
		}
	}
	return nil, fmt.Errorf("listening: %w", err)
}

// set cuts the links to these addresses, and resets the streams that are open over them. All others work again.
func (l *links) set(addrs []string) {
	l.change(func() {
		clear(l.cut)
		for _, a := range addrs {
			l.cut[a] = struct{}{}
		}
	})
}

// silence cuts all links for good.
func (l *links) silence() { l.change(func() { l.dead = true }) }

// isCut tells whether nothing is sent to an address. mu is held.
func (l *links) isCut(addr string) bool {
	_, cut := l.cut[addr]
	return cut || l.dead
}

func (l *links) change(f func()) {
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
func (l *links) sends(addr string, packets, bytes int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut(addr) {
		return false
	}
	l.packets += uint64(packets) //nolint:gosec // not negative
	l.bytes += uint64(bytes)     //nolint:gosec // not negative
	return true
}

func (l *links) count() (packets, streams, bytes uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.packets, l.streams, l.bytes
}

func (l *links) WriteTo(b []byte, addr string) (time.Time, error) {
	return l.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (l *links) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if !l.sends(a.Addr, 1, len(b)) {
		return time.Now(), nil // a packet that is lost is no error
	}
	return l.NodeAwareTransport.WriteToAddress(b, a)
}

func (l *links) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return l.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (l *links) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
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
	return &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("link to %s is cut: %w", addr, os.NewSyscallError("connect", syscall.EHOSTUNREACH))}
}

// A stream counts what is written to it.
type stream struct {
	net.Conn
	links *links
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
