package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// ioTimeout bounds the dialling of a connection, and what is then read and written.
const ioTimeout = 3 * time.Second

// A transport stands between memberlist and the network. It ends all connections when it shuts down
// and knows when memberlist has let go of them, bounds writes that memberlist does not bound, and
// sends nothing to addresses that are shunned.
type transport struct {
	base    memberlist.NodeAwareTransport
	streams chan net.Conn
	ctx     context.Context // ends when the shutdown begins
	cancel  context.CancelFunc
	drained chan struct{} // closed when the base has shut down
	begun   chan struct{} // closed when memberlist may hear of the network
	stop    sync.Once
	stopErr error          // written within stop
	wg      sync.WaitGroup // the own goroutines
	open    sync.WaitGroup // connections that memberlist has not closed

	mu       sync.Mutex // guards all below
	closed   bool
	conns    map[*conn]struct{}
	attempts map[string]*attempt  // to join, by token
	shunned  map[string]time.Time // addresses, and until when
}

// newTransport listens, unless the config brings a transport.
func newTransport(c *Config) (*transport, error) {
	t := &transport{
		streams:  make(chan net.Conn),
		drained:  make(chan struct{}),
		begun:    make(chan struct{}),
		conns:    make(map[*conn]struct{}),
		attempts: make(map[string]*attempt),
		shunned:  make(map[string]time.Time),
	}
	switch base := c.Transport.(type) {
	case nil:
		listener, err := listen(c.BindAddr, c.BindPort)
		if err != nil {
			return nil, err
		}
		t.base = listener
	case memberlist.NodeAwareTransport:
		t.base = base
	default:
		t.base = nameless{base}
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(t.accept)
	return t, nil
}

func listen(ip string, port int) (*memberlist.NetTransport, error) {
	var err error
	for range 10 { // a port that is free for TCP need not be for UDP
		var t *memberlist.NetTransport
		t, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{ip}, BindPort: port, Logger: log.New(io.Discard, "", 0),
		})
		if err == nil {
			return t, nil
		}
		if port != 0 {
			break
		}
	}
	addr := net.JoinHostPort(ip, strconv.Itoa(port))
	if strings.Contains(err.Error(), errInUse.Error()) { // memberlist keeps only the text
		return nil, fmt.Errorf("mesh: can't listen on %s: %w: is another node running here?", addr, syscall.EADDRINUSE)
	}
	return nil, fmt.Errorf("mesh: can't listen on %s: %w", addr, err)
}

// await blocks until memberlist may hear of the network. It listens before it has entered itself into
// its own list: word of the node's run before, from those that have not noticed its end, would then
// be taken as the node's own entry, a dead one, which no later word brings to life.
func (t *transport) await() {
	select {
	case <-t.begun:
	case <-t.ctx.Done():
	}
}

// accept hands streams from the network to memberlist, until the base gives none any more.
func (t *transport) accept() {
	t.await()
	for {
		select {
		case c := <-t.base.StreamCh():
			tracked := t.track(c, nil)
			if tracked == nil {
				continue
			}
			select {
			case t.streams <- tracked:
			case <-t.ctx.Done():
				_ = tracked.Close() // nobody waits for what it might say
			}
		case <-t.drained:
			return
		}
	}
}

// FinalAdvertiseAddr is the base's, but for a port that was not given: that is the bound one.
func (t *transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if ip != "" && port == 0 {
		_, bound, err := t.base.FinalAdvertiseAddr("", 0)
		if err != nil {
			return nil, 0, err
		}
		port = bound
	}
	return t.base.FinalAdvertiseAddr(ip, port)
}

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	switch up, closed := t.allowed(a.Addr); {
	case closed:
		return time.Time{}, ErrClosed
	case !up:
		return time.Now(), nil // as if it were lost
	}
	return t.base.WriteToAddress(b, a)
}

func (t *transport) allowed(addr string) (up, closed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, shunned := t.shunned[addr]
	if shunned && time.Now().After(until) {
		delete(t.shunned, addr)
		shunned = false
	}
	return !shunned, t.closed
}

// shun keeps from sending to an address for a while, so that who sits there is taken for dead.
func (t *transport) shun(addr string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shunned[addr] = time.Now().Add(d)
}

func (t *transport) unshun(addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.shunned, addr)
}

// PacketCh is what memberlist reads packets from; it asks for it before each.
func (t *transport) PacketCh() <-chan *memberlist.Packet {
	t.await()
	return t.base.PacketCh()
}

func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	t.mu.Lock()
	attempt := t.attempts[a.Name]
	t.mu.Unlock()
	if attempt == nil {
		if up, _ := t.allowed(a.Addr); !up {
			return nil, fmt.Errorf("mesh: %s is shunned: a node of another kind sits there", a.Addr)
		}
	}
	c, err := t.dial(a, min(timeout, ioTimeout))
	if err != nil {
		if attempt != nil {
			attempt.dial = err
		}
		return nil, err
	}
	tracked := t.track(c, attempt)
	if tracked == nil {
		return nil, ErrClosed
	}
	// Memberlist sets deadlines of its own, except where it sends a user's message.
	if err := tracked.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		_ = tracked.Close()
		return nil, err
	}
	return tracked, nil
}

// dial ends early on shutdown if the base lets it.
func (t *transport) dial(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	switch base := t.base.(type) {
	case interface {
		DialAddressContext(context.Context, memberlist.Address) (net.Conn, error)
	}:
		return base.DialAddressContext(ctx, a)
	case *memberlist.NetTransport:
		var d net.Dialer
		return d.DialContext(ctx, "tcp", a.Addr)
	}
	return t.base.DialAddressTimeout(a, timeout)
}

// track enters a connection; nil if the transport is shut down, and then the connection is closed.
func (t *transport) track(c net.Conn, a *attempt) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = c.Close() // memberlist never saw it
		return nil
	}
	tracked := &conn{Conn: c, transport: t, attempt: a}
	if a != nil {
		a.connected.Store(true)
	}
	t.conns[tracked] = struct{}{}
	t.open.Add(1)
	return tracked
}

// watch prepares an attempt to join; the token goes before the address that memberlist is given.
func (t *transport) watch(token string) *attempt {
	a := new(attempt)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attempts[token] = a
	return a
}

func (t *transport) unwatch(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.attempts, token)
}

// Shutdown closes the sockets and breaks all connections. It does not wait for those who use them: see idle.
func (t *transport) Shutdown() error {
	t.stop.Do(func() {
		t.mu.Lock()
		t.closed = true
		for c := range t.conns {
			_ = c.Conn.Close() // its user sees an error and closes it again
		}
		t.mu.Unlock()
		t.cancel()
		t.wg.Go(t.drain)
		t.stopErr = t.base.Shutdown()
		close(t.drained)
		t.wg.Wait()
	})
	return t.stopErr
}

// drain takes the packets that memberlist may not take any more: the base can't stop while it holds one.
func (t *transport) drain() {
	for {
		select {
		case <-t.base.PacketCh():
		case <-t.drained:
			return
		}
	}
}

// idle waits until memberlist has let go of all connections, after Shutdown.
func (t *transport) idle() { t.open.Wait() }

// A conn is a connection in the hands of memberlist.
type conn struct {
	net.Conn
	transport *transport
	attempt   *attempt // to join, if it was dialled for one
	once      sync.Once
	err       error // of closing; written within once
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.attempt != nil {
		c.attempt.read.Add(int64(n))
		if errors.Is(err, syscall.ETIMEDOUT) || isTimeout(err) {
			c.attempt.timedOut.Store(true)
		}
	}
	return n, err
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// Close is called by memberlist, and last.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.err = c.Conn.Close()
		c.transport.mu.Lock()
		delete(c.transport.conns, c)
		c.transport.mu.Unlock()
		c.transport.open.Done()
	})
	return c.err
}

// An attempt is what the transport saw of an attempt to join.
type attempt struct {
	dial      error // why no connection came about; read once the attempt is over
	connected atomic.Bool
	timedOut  atomic.Bool
	read      atomic.Int64 // bytes
}

// nameless lets a plain transport be used with addresses that have names.
type nameless struct{ memberlist.Transport }

func (t nameless) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

func (t nameless) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

func (t *transport) connections() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}
