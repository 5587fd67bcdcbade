package cutnet

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// A Transport is a node's end of the network: a [memberlist.NodeAwareTransport]. Its owner,
// memberlist most often, shuts it down.
type Transport struct {
	network *Network
	name    string
	base    memberlist.NodeAwareTransport
	addr    string
	packets chan *memberlist.Packet
	closing chan struct{} // closed first: packets that come are dropped
	drained chan struct{} // closed when base has shut down: none comes any more
	once    sync.Once
	err     error // of base; written within once
	wg      sync.WaitGroup
}

var _ memberlist.NodeAwareTransport = (*Transport)(nil)

// Listen returns a transport of its own sockets, UDP and TCP, on an IP address. Port 0
// takes one that is free.
func (n *Network) Listen(name, ip string, port int) (*Transport, error) {
	var err error
	for range 10 { // a port that is free for TCP need not be for UDP
		var base *memberlist.NetTransport
		base, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{ip}, BindPort: port, Logger: log.New(io.Discard, "", 0),
		})
		if err == nil {
			return n.Wrap(name, base)
		}
		if port != 0 {
			break
		}
	}
	return nil, fmt.Errorf("listening: %w", err)
}

// Wrap puts a node's transport on the network. The node is known by the address that base
// advertises by itself. If that fails, base is left to the caller.
func (n *Network) Wrap(name string, base memberlist.NodeAwareTransport) (*Transport, error) {
	ip, port, err := base.FinalAdvertiseAddr("", 0)
	if err != nil {
		return nil, fmt.Errorf("cutnet: address of node %q: %w", name, err)
	}
	t := &Transport{
		network: n,
		name:    name,
		base:    base,
		addr:    net.JoinHostPort(ip.String(), strconv.Itoa(port)),
		packets: make(chan *memberlist.Packet),
		closing: make(chan struct{}),
		drained: make(chan struct{}),
	}
	n.register(t.addr, name)
	t.wg.Go(t.receive)
	return t, nil
}

// Addr returns the address that the node is known by.
func (t *Transport) Addr() string { return t.addr }

// receive passes on the packets that arrive over links that are up.
func (t *Transport) receive() {
	for {
		select {
		case p := <-t.base.PacketCh():
			if !t.network.arrived(p.From.String(), t.name) {
				continue
			}
			select {
			case t.packets <- p:
			case <-t.closing:
			}
		case <-t.drained:
			return
		}
	}
}

// FinalAdvertiseAddr is base's.
func (t *Transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	return t.base.FinalAdvertiseAddr(ip, port)
}

// WriteTo sends a packet if the link is up. It reports no loss.
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress is [Transport.WriteTo].
func (t *Transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if !t.network.packet(t.name, a.Addr, len(b)) {
		return time.Now(), nil
	}
	return t.base.WriteToAddress(b, a)
}

// PacketCh gives the packets that arrive.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// DialTimeout opens a stream, or fails with [ErrCut].
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout is [Transport.DialTimeout].
func (t *Transport) DialAddressTimeout(
	a memberlist.Address, timeout time.Duration,
) (net.Conn, error) {
	return t.dial(a, func() (net.Conn, error) { return t.base.DialAddressTimeout(a, timeout) })
}

// DialAddressContext opens a stream, or fails with [ErrCut] or when the context ends.
func (t *Transport) DialAddressContext(
	ctx context.Context, a memberlist.Address,
) (net.Conn, error) {
	return t.dial(a, func() (net.Conn, error) {
		switch base := t.base.(type) {
		case interface {
			DialAddressContext(context.Context, memberlist.Address) (net.Conn, error)
		}:
			return base.DialAddressContext(ctx, a)
		case *memberlist.NetTransport:
			var d net.Dialer // as base itself would, but for the context
			return d.DialContext(ctx, "tcp", a.Addr)
		}
		timeout := time.Minute
		if deadline, ok := ctx.Deadline(); ok {
			timeout = time.Until(deadline)
		}
		return t.base.DialAddressTimeout(a, timeout)
	})
}

func (t *Transport) dial(a memberlist.Address, dial func() (net.Conn, error)) (net.Conn, error) {
	to, up := t.network.lookup(t.name, a.Addr)
	if !up {
		return nil, cutError(address(a.Addr))
	}
	c, err := dial()
	if err != nil {
		return nil, err
	}
	return t.network.open(t.name, to, c)
}

// lookup returns who listens on an address, and whether a stream to there meets no cut.
func (n *Network) lookup(from, addr string) (to string, up bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to = n.nameOf(addr)
	if n.either(from, to) {
		n.of(from, to).Refused++
		return to, false
	}
	return to, true
}

// cutError has the form that memberlist takes for a failure of the other end.
func cutError(addr net.Addr) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: ErrCut}
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// StreamCh gives the streams that others open. Whether they may is asked at their end.
func (t *Transport) StreamCh() <-chan net.Conn { return t.base.StreamCh() }

// Shutdown closes the sockets and gives the address back. It blocks until all has stopped.
func (t *Transport) Shutdown() error {
	t.once.Do(func() {
		close(t.closing)
		t.network.unregister(t.addr)
		t.err = t.base.Shutdown()
		close(t.drained)
		t.wg.Wait()
	})
	return t.err
}
