package mesh

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/snowfence/snowfence/internal/eventlog"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// A Mesh is one node's view of the members, and its paths to them. Its methods may be called at the
// same time.
type Mesh struct {
	cfg       Config
	list      *memberlist.Memberlist
	transport *transport
	keyring   *memberlist.Keyring
	log       *slog.Logger
	repeats   *eventlog.Limiter
	self      Member
	limits    wire.Limits
	room      int // bytes that a packet has for a frame
	counters  counters

	// calls is held for reading during memberlist's calls, so that Close can wait for the last one. It
	// is taken after memberlist's locks and before all others here.
	calls sync.RWMutex
	mute  bool // no more calls are passed on; guarded by calls

	members   members
	space     space
	broadcast broadcasts
	probes    probes
	refusals  refusals
	rejoin    rejoin
	leaving   leaving
	instance  uint64        // random: an answer with it comes from this node
	tokens    atomic.Uint64 // of exchanges
	exchanges chan struct{} // holds one for each exchange of memberships under way

	ready  chan struct{}   // closed when list is set: calls may come before
	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	// begun is held for reading while a goroutine is started; taken inside no other lock but calls.
	begun   sync.RWMutex
	closed  bool // guarded by begun
	started time.Time
	asked   atomic.Int64 // when askAround last did, since started
	wg      sync.WaitGroup
	once    sync.Once
	err     error // of Close; written within once
}

// Open returns a mesh that listens, and is alone until it joins or is joined. If the address can't
// be listened on, the error names it, and is syscall.EADDRINUSE if that is the reason. Open does
// not block.
func Open(c Config) (*Mesh, error) {
	given := c.Transport
	c = c.withDefaults()
	seeds, err := c.parseSeeds()
	if err != nil {
		return nil, shutDown(given, err)
	}
	m := &Mesh{
		cfg:     c,
		log:     c.Logger.With("node", c.Node),
		repeats: eventlog.NewLimiter(time.Now),
		ready:   make(chan struct{}),
		started: time.Now(),

		instance:  randomInstance(),
		exchanges: make(chan struct{}, maxExchanges),
		// those of names, those of groups, and two that stand for all of either
		limits: wire.Limits{Partitions: 2*c.Identity.Partitions + 2},
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.members.byName = make(map[string]*member)
	m.leaving.acks = make(chan string, maxAcks)
	m.rejoin.init(seeds)
	m.probes.init()
	m.broadcast.init(&m.members, c.QueueLimit)

	if len(c.Keys) > 0 {
		if m.keyring, err = memberlist.NewKeyring(c.Keys, c.Keys[0]); err != nil {
			m.cancel()
			return nil, shutDown(given, err)
		}
	}
	m.room = c.PacketSize - packetOverhead
	if m.keyring != nil {
		m.room -= encryptOverhead
	}
	if m.transport, err = newTransport(&c); err != nil {
		m.cancel()
		return nil, err
	}
	ip, port, err := m.transport.FinalAdvertiseAddr(c.AdvertiseAddr, c.AdvertisePort)
	if err != nil {
		m.cancel()
		return nil, shutDown(m.transport, fmt.Errorf("no address to advertise: %w", err))
	}
	m.transport.greeter = &greeter{
		self:    greeting{m.instance, c.Incarnation, c.Node},
		keyring: m.keyring, rejected: m.rejectedByList,
	}
	// Calls may come while memberlist is being made: all that they use must be there.
	m.self = Member{Name: c.Node, Addr: net.JoinHostPort(ip.String(), strconv.Itoa(port)),
		Incarnation: c.Incarnation}
	if m.list, err = memberlist.Create(m.listConfig()); err != nil {
		m.cancel()
		m.members.stopAll()
		m.wg.Wait()
		return nil, shutDown(m.transport, err)
	}
	close(m.ready)
	close(m.transport.begun)
	m.wg.Go(m.sendProbes)
	m.wg.Go(m.exchangeWhenKicked)
	if c.RejoinInterval > 0 {
		m.wg.Go(m.searchRepeatedly)
	}
	return m, nil
}

// shutDown shuts a transport down after an error, which it returns.
func shutDown(t memberlist.Transport, err error) error {
	if t == nil {
		return err
	}
	if e := t.Shutdown(); e != nil {
		return fmt.Errorf("%w (and its transport did not shut down: %w)", err, e)
	}
	return err
}

// Overheads of a packet that holds one message of ours: memberlist's headers of a compound message
// with a checksum, and the byte before our frames; and what encryption adds.
const (
	packetOverhead  = 16
	encryptOverhead = 29
)

func (m *Mesh) listConfig() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	d := &delegate{m}
	c.Name = m.cfg.Node
	c.Transport = m.transport
	c.BindAddr, c.BindPort = m.cfg.BindAddr, m.cfg.BindPort
	c.AdvertiseAddr, c.AdvertisePort = m.cfg.AdvertiseAddr, m.cfg.AdvertisePort
	c.Logger = log.New(&logWriter{log: m.log, repeats: m.repeats, rejected: m.rejectedByList}, "", 0)
	c.Keyring = m.keyring
	c.Delegate, c.Events, c.Merge, c.Alive, c.Conflict, c.Ping = d, d, d, d, d, d

	c.TCPTimeout = ioTimeout
	c.GossipInterval = m.cfg.GossipInterval
	c.ProbeInterval = m.cfg.ProbeInterval
	c.ProbeTimeout = m.cfg.ProbeTimeout
	c.SuspicionMult = m.cfg.SuspicionMult
	c.UDPBufferSize = m.cfg.PacketSize
	c.PushPullInterval = 5 * time.Second // of membership alone, and so cheap
	c.RetransmitMult = 8                 // of membership, too; with 4, nodes miss news
	c.AwarenessMaxMultiplier = 4         // on a slow node, a probe takes at most this many intervals
	c.DeadNodeReclaimTime = time.Nanosecond
	fill(&m.cfg.forgetDead, c.GossipToTheDeadTime)
	c.GossipToTheDeadTime = m.cfg.forgetDead
	c.EnableCompression = false // frames are dense: it is not worth the time
	c.HandoffQueueDepth = 4096
	return c
}

// Addr returns the host:port that others can put into their seeds.
func (m *Mesh) Addr() string { return m.self.Addr }

// spawn starts a goroutine that Close waits for, and reports whether it did: not once Close has
// begun.
func (m *Mesh) spawn(f func()) bool {
	m.begun.RLock()
	defer m.begun.RUnlock()
	if m.closed {
		return false
	}
	m.wg.Go(f)
	return true
}

// ifOpen calls f unless the mesh is closed.
func (m *Mesh) ifOpen(f func()) {
	m.calls.RLock()
	defer m.calls.RUnlock()
	if !m.mute {
		f()
	}
}

// Close stops the mesh at once and notifies no other node: they detect it by probing. See
// [Mesh.Leave]. It waits for calls of Handler, so none of them may call it; for connections to end;
// and for a Leave under way. Once it has returned, no socket is open and no call comes any more. Of
// memberlist's goroutines, one that waits for the answer to a probe may live for what is left of
// the probe's time: up to ProbeInterval, four times that on a node that has proved slow. Later
// calls return what the first did.
func (m *Mesh) Close() error {
	m.once.Do(func() {
		m.begun.Lock()
		m.closed = true
		m.begun.Unlock()
		m.cancel()
		m.leaving.mu.Lock() // until a Leave is over: memberlist can't leave what is shut down
		defer m.leaving.mu.Unlock()

		m.calls.Lock()
		m.mute = true
		m.calls.Unlock()
		m.err = m.list.Shutdown()
		m.transport.idle()
		m.members.stopAll()
		m.wg.Wait()
	})
	return m.err
}
