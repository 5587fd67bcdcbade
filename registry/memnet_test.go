package registry

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// A memNet is a network in memory on which the real mesh runs in a synctest bubble: messages arrive
// at once.
type memNet struct {
	mu    sync.Mutex
	ends  map[string]*memEnd
	loses atomic.Bool // all packets
}

// A memEnd is one node's transport.
type memEnd struct {
	net     *memNet
	addr    *net.TCPAddr
	packets chan *memberlist.Packet
	streams chan net.Conn
	closed  chan struct{}
}

func newMemNet() *memNet { return &memNet{ends: make(map[string]*memEnd)} }

func (n *memNet) listen() *memEnd {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := &memEnd{
		net: n, addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1000 + len(n.ends)},
		packets: make(
			chan *memberlist.Packet,
			1024,
		), streams: make(chan net.Conn), closed: make(chan struct{}),
	}
	n.ends[e.addr.String()] = e
	return e
}

func (n *memNet) end(addr string) *memEnd {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ends[addr]
}

func (e *memEnd) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return e.addr.IP, e.addr.Port, nil
}

func (e *memEnd) WriteTo(b []byte, addr string) (time.Time, error) {
	if to := e.net.end(addr); to != nil && !e.net.loses.Load() {
		select {
		case to.packets <- &memberlist.Packet{Buf: bytes.Clone(b), From: e.addr, Timestamp: time.Now()}:
		default: // lost, as it would be on a real one
		}
	}
	return time.Now(), nil
}

func (e *memEnd) PacketCh() <-chan *memberlist.Packet { return e.packets }
func (e *memEnd) StreamCh() <-chan net.Conn           { return e.streams }

func (e *memEnd) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to := e.net.end(addr)
	if to == nil {
		return nil, fmt.Errorf("nobody at %s", addr)
	}
	near, far := net.Pipe()
	select {
	case to.streams <- far:
		return near, nil
	case <-to.closed:
	case <-e.closed:
	case <-time.After(timeout):
	}
	return nil, errors.Join(errors.New("no connection"), near.Close(), far.Close())
}

func (e *memEnd) Shutdown() error {
	close(e.closed)
	return nil
}
