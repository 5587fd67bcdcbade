package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// ioTimeout bounds the dialling of a connection, and then all its reads and writes.
const ioTimeout = 3 * time.Second

// A transport stands between memberlist and the network. It answers hellos; ends all connections
// when it shuts down, and knows when memberlist has closed them; bounds writes that memberlist does
// not bound; and sends nothing to addresses that are shunned.
type transport struct {
	base    memberlist.NodeAwareTransport
	streams chan net.Conn
	ctx     context.Context // ends when the shutdown begins
	cancel  context.CancelFunc
	drained chan struct{} // closed when the base has shut down
	begun   chan struct{} // closed when memberlist may use the network
	greeter *greeter      // answers hellos; set before begun is closed
	stop    sync.Once
	stopErr error          // written within stop
	wg      sync.WaitGroup // the own goroutines
	open    sync.WaitGroup // connections that memberlist has not closed

	mu       sync.Mutex // guards all below
	closed   bool
	conns    map[*conn]struct{}
	attempts map[string]*attempt  // to exchange memberships, by token
	shunned  map[string]time.Time // addresses, and until when
}

// newTransport returns a transport over that of the config or, if there is none, one that listens.
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

// listen returns a transport over UDP and TCP. The error wraps syscall.EADDRINUSE if that is the
// reason.
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
	if typed := whyNot(addr); typed != nil {
		err = typed
	}
	if errors.Is(err, errInUse) {
		return nil, fmt.Errorf("can't listen on %s: %w: is another node running here?",
			addr, syscall.EADDRINUSE)
	}
	return nil, fmt.Errorf("can't listen on %s: %w", addr, err)
}

// whyNot returns the error of listening on an address, of which memberlist returns only the text.
// It returns nil if the address is free by now.
func whyNot(addr string) error {
	var listen net.ListenConfig
	tcp, err := listen.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	udp, err := listen.ListenPacket(context.Background(), "udp", addr)
	if err == nil {
		err = udp.Close()
	}
	return errors.Join(err, tcp.Close())
}

// await blocks until memberlist may use the network. Memberlist listens before it has added itself
// to its own list. News of the node's earlier run, from members that have not detected its end,
// would then become the node's own entry, a dead one, which no later news revives.
func (t *transport) await() {
	select {
	case <-t.begun:
	case <-t.ctx.Done():
	}
}

// accept serves the streams of the base until that has shut down.
func (t *transport) accept() {
	t.await()
	for {
		select {
		case c := <-t.base.StreamCh():
			if tracked := t.track(c); tracked != nil {
				t.wg.Go(func() { t.serve(tracked) })
			}
		case <-t.drained:
			return
		}
	}
}

// serve answers a hello, or passes the stream to memberlist, which would wait as long for the first
// byte.
func (t *transport) serve(c *conn) {
	if !t.greet(c) {
		_ = c.Close() // the other side has its answer, or has gone away
		return
	}
	select {
	case t.streams <- c:
	case <-t.ctx.Done():
		_ = c.Close() // its error changes nothing
	}
}

// greet reports whether memberlist may have the stream.
func (t *transport) greet(c *conn) bool {
	if c.SetDeadline(time.Now().Add(ioTimeout)) != nil || !c.peek() {
		return false
	}
	if c.first == helloMagic[0] {
		return t.greeter.answer(c)
	}
	return t.greeter.accepts(c)
}

// FinalAdvertiseAddr returns the base's address; the port that is not given is the bound one.
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

// WriteTo sends a packet.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends a packet, unless the address is shunned.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	switch up, closed := t.allowed(a.Addr); {
	case closed:
		return time.Time{}, ErrClosed
	case !up:
		return time.Now(), nil // as if the packet were lost
	}
	return t.base.WriteToAddress(b, a)
}

// allowed reports whether packets may be sent to an address, and whether the transport is shut
// down.
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

// shun stops all sending to an address for a while, so that the node there is declared dead.
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

// PacketCh returns the base's channel of packets; memberlist calls it before each read.
func (t *transport) PacketCh() <-chan *memberlist.Packet {
	t.await()
	return t.base.PacketCh()
}

// StreamCh returns the channel of connections that are not hellos.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout opens a connection.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a connection. An attempt to exchange memberships gets the one on which
// the other side has said hello.
func (t *transport) DialAddressTimeout(
	a memberlist.Address, timeout time.Duration,
) (net.Conn, error) {
	t.mu.Lock()
	attempt := t.attempts[a.Name]
	t.mu.Unlock()
	if attempt != nil {
		return attempt.take()
	}
	if up, _ := t.allowed(a.Addr); !up {
		return nil, fmt.Errorf("mesh: %s is shunned: the node there has another configuration", a.Addr)
	}
	return t.connect(a, min(timeout, ioTimeout))
}

// connect opens a connection whose reads and writes take no longer than ioTimeout in all.
// Memberlist sets deadlines of its own, except for user messages.
func (t *transport) connect(a memberlist.Address, timeout time.Duration) (*conn, error) {
	c, err := t.dial(a, timeout)
	if err != nil {
		return nil, err
	}
	tracked := t.track(c)
	if tracked == nil {
		return nil, ErrClosed
	}
	if err := tracked.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		_ = tracked.Close()
		return nil, err
	}
	return tracked, nil
}

// hello opens a connection to an address, says hello, and returns the connection with the answer.
// The caller closes it.
func (t *transport) hello(addr string) (*conn, greeting, error) {
	c, err := t.connect(memberlist.Address{Addr: addr}, ioTimeout)
	if err != nil {
		return nil, greeting{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	who, err := t.greeter.ask(c)
	if err != nil {
		_ = c.Close() // its error changes nothing
		return nil, greeting{}, err
	}
	return c, who, nil
}

// dial opens a connection. A shutdown ends it early if the base can.
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

// track adds a connection. If the transport is shut down it closes the connection and returns nil.
func (t *transport) track(c net.Conn) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = c.Close() // memberlist never saw it
		return nil
	}
	tracked := &conn{Conn: c, transport: t}
	t.conns[tracked] = struct{}{}
	t.open.Add(1)
	return tracked
}

// watch adds an attempt over a connection, which memberlist gets for an address that the token goes
// before.
func (t *transport) watch(token string, c *conn) *attempt {
	a := &attempt{conn: c}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attempts[token] = a
	return a
}

// unwatch removes an attempt.
func (t *transport) unwatch(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.attempts, token)
}

// Shutdown closes the sockets and all connections. It does not wait for their users: see idle.
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

// drain drops the packets that memberlist no longer takes: the base can't stop while it holds one.
func (t *transport) drain() {
	for {
		select {
		case <-t.base.PacketCh():
		case <-t.drained:
			return
		}
	}
}

// idle waits until memberlist has closed all connections, after Shutdown.
func (t *transport) idle() { t.open.Wait() }

// A conn is a connection in the hands of memberlist. One goroutine reads it at a time.
type conn struct {
	net.Conn
	transport *transport
	first     byte // read by peek
	peeked    bool // Read has still to return first
	failed    atomic.Bool
	once      sync.Once
	err       error // of closing; written within once
}

// peek reads the first byte, which Read returns again, and reports whether there is one.
func (c *conn) peek() bool {
	var b [1]byte
	if _, err := io.ReadFull(c.Conn, b[:]); err != nil {
		return false
	}
	c.first, c.peeked = b[0], true
	return true
}

func (c *conn) Read(b []byte) (int, error) {
	if c.peeked && len(b) > 0 {
		c.peeked = false
		b[0] = c.first
		return 1, nil
	}
	n, err := c.Conn.Read(b)
	c.note(err)
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.note(err)
	return n, err
}

// note notes that the connection failed, or ended too early: memberlist returns only the text of
// the error.
func (c *conn) note(err error) {
	if err != nil {
		c.failed.Store(true)
	}
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

// An attempt is an exchange of memberships over an open connection.
type attempt struct {
	conn  *conn
	taken atomic.Bool
}

// take returns the connection, once.
func (a *attempt) take() (net.Conn, error) {
	if a.taken.Swap(true) {
		return nil, errTaken
	}
	if err := a.conn.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		_ = a.conn.Close() // memberlist does not get it
		return nil, err
	}
	return a.conn, nil
}

var errTaken = errors.New("mesh: the connection of an exchange is used already")

// nameless makes a plain transport a NodeAwareTransport.
type nameless struct{ memberlist.Transport }

func (t nameless) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

func (t nameless) DialAddressTimeout(
	a memberlist.Address, timeout time.Duration,
) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

func (t *transport) connections() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}
