package registry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/shared"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

const (
	packetBytes = 1200 // of records in an update that goes in a packet
	gossipDepth = 32   // updates in gossip from which on further ones go over connections
	bulkNames   = 16   // changes in one window above which they go over connections
	bulkBytes   = 64 << 10
	roomWait    = 100 * time.Millisecond // for room in the queues to the other nodes

	// bulkPause is the time for which a partition collects changes between two pieces that go over
	// connections. More and smaller updates would overtake each other, and cost requests for what
	// seems to be missing.
	bulkPause = 3 * time.Millisecond

	itemsPerLock = 64 // items that are handled before callers get a turn
)

// A part is one partition on this node: the core's replica of it with a lock, a goroutine and a
// queue. The queue is the core's own: the names that changed here and were not sent yet.
//
// A change waits in the queue until the network's window ends, which calls collect. collect sends
// the changes that go in packets; the goroutine (run) sends the others, and handles the inbox. It
// sleeps while nothing happens; the registry's alarm lets time pass for the core.
type part struct {
	reg    *Registry
	n      int
	inbox  inbox
	wake   chan struct{} // has room for one: something to send, or missed
	ring   func()        // collect, as one value for all windows
	missed atomic.Bool   // the alarm found the lock taken

	// winners is read by Lookup. Only the core writes to it, under mu.
	winners *xsync.Map[string, *replica.Record]
	heap    atomic.Int64 // estimate of the bytes that the winners take

	sentBytes atomic.Uint64

	root      atomic.Uint64 // the core's, 0 if it is not known
	summaries atomic.Uint64 // sent to other nodes by answer

	// mu guards what follows. Under it the locks of the hub, of a watcher, of the clock, of the inbox
	// and of the client are taken, never that of another part. The only user code that runs under it
	// is the Resolver, and the methods of the contexts that callers pass.
	mu     sync.Mutex
	core   *replica.Partition
	regs   map[string]*Registration // of this node, by name
	waits  map[awaited]*wait
	gate   gate
	high   int    // the queue's high-water mark
	silent uint64 // registrations that ended because their holders were silent

	kept, elsewhere uint64 // conflicts that this node's claim won, and those of two other nodes

	asked  []chan struct{} // to be closed once the core has caught up
	closed bool            // no more registrations
	// called is set while a window or the goroutine is to look at the queue; busy while the goroutine
	// sends, and has the queue to itself; rest must be sent first.
	called, busy bool
	rest         []*replica.Update
	client       shared.Client // of a partition of the second space; nil: that was not opened
}

func newPart(r *Registry, n int, seed uint64) *part {
	p := &part{
		reg: r, n: n, inbox: newInbox(), wake: make(chan struct{}, 1),
		winners: xsync.NewMap[string, *replica.Record](),
		regs:    make(map[string]*Registration),
		waits:   make(map[awaited]*wait),
	}
	p.ring = p.collect
	p.core = replica.New(replica.Config{
		Self: r.cfg.NodeName, Partition: n, Incarnation: r.incarnation, Clock: r.clock, Seed: seed,
		Compare: compareRecords(r.cfg.Resolver), Publish: p.publish,
		Shared:   func(string) bool { return n >= r.cfg.Partitions },
		Compared: true,
	})
	return p
}

// run is the partition's goroutine.
func (p *part) run() {
	for {
		select {
		case <-p.reg.life.Done():
			return
		case <-p.inbox.signal:
			p.receive()
		case <-p.wake:
			if p.missed.Swap(false) {
				p.mu.Lock()
				p.reg.alarm.wakeBefore(p.tick())
			}
			p.flush()
		}
		p.reg.wakeUps.Add(1)
	}
}

// rouse wakes the partition's goroutine.
func (p *part) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// step runs f under the lock, and performs the effects.
func (p *part) step(f func(replica.At)) {
	p.mu.Lock()
	f(p.reg.now())
	e := p.takeEffects()
	p.mu.Unlock()
	p.act(e)
}

// tick lets time pass for the core, and returns when the alarm is to ring for it again. The caller
// holds mu, which tick releases.
func (p *part) tick() (next int64) {
	at := p.reg.now()
	p.core.Tick(at)
	e := p.takeEffects()
	due, ok := p.core.Next(at)
	next = p.reg.alarm.set(p.n, max(due, at.Mono+1), ok) // not at once: it has just ticked
	p.mu.Unlock()
	p.act(e)
	return next
}

// effects hold the work to do once the lock is released.
type effects struct {
	out   replica.Output
	ended []ending
}

type ending struct {
	g     *Registration
	cause error
}

// takeEffects takes the effects of the core's inputs. It notifies watchers and waiters, and returns
// what must not be done under the lock. The caller holds mu.
func (p *part) takeEffects() effects {
	e := effects{out: p.core.Take()}
	for _, event := range e.out.Events {
		if event.Type == replica.SharedChanged && p.client != nil {
			p.client.Changed(event.Record)
		}
		p.countConflict(event)
		if out, ok := eventOf(event); ok {
			p.reg.hub.Publish(out)
		}
	}
	for _, loss := range e.out.Lost {
		if g := p.regs[loss.Own.Name]; g != nil {
			cause := &ConflictError{Name: loss.Own.Name, Winner: claimOf(loss.Winner)}
			e.ended = append(e.ended, p.detach(g, loss.Own, cause))
		}
	}
	p.root.Store(0)
	depth, _ := p.core.Pending()
	p.high = max(p.high, depth)
	p.gate.open(p.reg.cfg.QueueSize - depth)
	if depth > 0 && !p.called && !p.busy {
		p.called = true
		p.reg.net.Soon(p.ring)
	}
	if len(p.asked) > 0 && p.core.CaughtUp() {
		for _, done := range p.asked {
			close(done)
		}
		p.asked = nil
	}
	return e
}

// act performs effects. The caller does not hold mu.
func (p *part) act(e effects) {
	for _, end := range e.ended {
		end.g.cancel(end.cause)
	}
	for _, env := range e.out.Send {
		p.sentBytes.Add(p.size(env.Message))
		switch env.Message.(type) {
		case *replica.Summary, *replica.Vector:
			// A lost one is asked for again, so a packet will do.
			if p.reg.net.Probe(env.To, p.n, env.Message) {
				continue
			}
		}
		p.reg.net.Send(env.To, p.n, env.Message) // without room it counts as lost
	}
	for _, u := range e.out.Relay {
		// otherwise a node that missed it asks for it
		if p.reg.net.Backlog() < gossipDepth {
			p.reg.net.Relay(p.n, u)
		}
	}
	p.reg.logEvents(p.n, e.out.Events)
}

// size returns the bytes of a message on the wire.
func (p *part) size(m replica.Message) uint64 {
	return uint64(wire.Item{Partition: p.n, Message: m}.Size()) //nolint:gosec // a length
}

// receive handles all items in the inbox.
func (p *part) receive() {
	items := p.inbox.take()
	for len(items) > 0 {
		some := items[:min(len(items), itemsPerLock)]
		items = items[len(some):]
		p.mu.Lock()
		at := p.reg.now()
		for _, it := range some {
			switch {
			case it.message != nil:
				p.core.Receive(at, it.node, it.message)
			case it.synced != nil:
				p.asked = append(p.asked, it.synced)
			case it.news == nodeUp:
				p.core.NodeUp(at, it.node, it.incarnation)
			case it.news == clockAhead: // Tick gives new timestamps
			default:
				p.core.NodeDown(at, it.node, it.news == nodeLeft)
			}
		}
		e := p.takeEffects()
		p.reg.alarm.soon(p.n, at.Mono) // the core may have set an earlier deadline
		p.mu.Unlock()
		p.act(e)
	}
}

// agrees reports whether a message is a summary equal to this partition's, which need not be
// handled.
func (p *part) agrees(m replica.Message) bool {
	s, ok := m.(*replica.Summary)
	return ok && s.Root != 0 && s.Root == p.root.Load()
}

// collect is called when a window of the network ends. It sends the changes in packets if they are
// few, so that one packet carries those of all partitions. The goroutine sends more than that over
// connections: gossip sends about one packet per round and node, so many changes would wait in it
// for seconds, and collect must not block.
func (p *part) collect() {
	if !p.mu.TryLock() {
		p.rouse()
		return
	}
	depth, _ := p.core.Pending()
	var updates []*replica.Update
	switch {
	case p.busy: // the goroutine sends all there is
		p.called = false
		p.mu.Unlock()
		return
	case p.alone():
		// A node that comes up asks for all, and one that has left is dropped.
		p.core.Flush(bulkBytes, 0)
	case depth > bulkNames:
		p.mu.Unlock()
		p.rouse()
		return
	default:
		updates = p.core.Flush(packetBytes, 0)
	}
	p.called = false
	e := p.takeEffects()
	p.mu.Unlock()
	p.act(e)
	if rest := p.broadcast(updates); len(rest) > 0 {
		p.mu.Lock()
		p.rest = append(p.rest, rest...)
		p.mu.Unlock()
		p.rouse()
	}
}

// alone reports whether no other node needs to be sent changes. The caller holds mu.
func (p *part) alone() bool { return p.closed || p.reg.peers.count.Load() == 0 }

// broadcast sends updates in packets, and returns those for which there was no room.
func (p *part) broadcast(updates []*replica.Update) (rest []*replica.Update) {
	for _, u := range updates {
		if p.reg.net.Backlog() < gossipDepth && p.reg.net.Broadcast(p.n, u) {
			p.sentBytes.Add(p.size(u))
		} else {
			rest = append(rest, u)
		}
	}
	return rest
}

// flush sends what collect could not, over connections to every node, one piece at a time, so that
// the goroutine stays responsive. While it waits for room in the queues to the nodes, this
// partition's queue fills, and Register waits.
func (p *part) flush() {
	p.mu.Lock()
	p.busy = true
	updates, packets, bulk := p.rest, false, false
	p.rest = nil
	depth, _ := p.core.Pending()
	switch {
	case len(updates) > 0:
	case p.alone():
		p.core.Flush(bulkBytes, 0)
	case depth > bulkNames:
		updates, bulk = p.core.Flush(bulkBytes, 1), true
	default:
		updates, packets = p.core.Flush(packetBytes, 0), true
	}
	depth, _ = p.core.Pending()
	e := p.takeEffects()
	p.mu.Unlock()
	p.act(e)
	if packets {
		updates = p.broadcast(updates)
	}
	p.sendAll(updates)

	p.mu.Lock()
	again := len(p.rest) > 0 || bulk && depth > 0 // there was more than one piece
	p.busy, p.called = false, bulk
	e = p.takeEffects()
	p.mu.Unlock()
	p.act(e)
	switch {
	case again:
		p.rouse()
	case bulk:
		time.AfterFunc(bulkPause, func() { p.reg.net.Soon(p.ring) })
	}
}

// sendAll sends updates over connections to every node.
func (p *part) sendAll(updates []*replica.Update) {
	if len(updates) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(p.reg.life, roomWait)
	defer cancel()
	for _, u := range updates {
		p.sentBytes.Add(p.size(u))
		if missed := p.reg.net.SendAll(ctx, p.n, u); len(missed) > 0 {
			p.reg.log.Debug("no room in the queues to some nodes; they will ask", "partition", p.n,
				"names", len(u.Records), "nodes", missed)
		}
	}
}

// publish stores the new winner of a name for Lookup. The core calls it; nil: there is none.
func (p *part) publish(name string, winner *replica.Record) {
	before, _ := p.winners.Load(name)
	if winner == nil {
		p.winners.Delete(name)
	} else {
		p.winners.Store(name, winner)
	}
	p.announce(name, winner)
	p.heap.Add(heapOf(winner) - heapOf(before))
}
