package registry

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/shared"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

const (
	tickEvery   = 50 * time.Millisecond
	batchWindow = 5 * time.Millisecond // how long a change waits for company

	// atOnce is not 0: a timer that is due when somebody selects on it is run there and
	// then, and two of one synctest bubble crash the race detector (seen in Go 1.26.8).
	atOnce = time.Nanosecond

	packetBytes = 1200 // of records in an update that gossip carries
	gossipDepth = 32   // while gossip carries that many updates, others go straight to every node
	bulkNames   = 32   // and so do more changes than this at a time
	bulkBytes   = 64 << 10
	roomWait    = 100 * time.Millisecond // for room in the queues to the other nodes

	itemsPerLock = 64 // messages that are handled before callers get a turn
)

// A part is one partition on this node: the core's replica of it with a lock, a goroutine and a queue. The queue is
// the core's own: the names that changed here and were not sent yet.
type part struct {
	reg   *Registry
	n     int
	inbox inbox
	wake  chan struct{} // has room for one: there is something to flush

	// winners is what Lookup reads. Only the core writes to it, under mu.
	winners *xsync.Map[string, *replica.Record]
	heap    atomic.Int64 // estimate of what the winners take

	sentBytes atomic.Uint64

	// mu guards what follows. Under it are taken the locks of the hub, of a watcher, of the clock and of the
	// inbox, and by the client what it says, never that of another part. The only code of others that runs under it is the
	// Resolver and the methods of the contexts that callers pass.
	mu     sync.Mutex
	core   *replica.Partition
	regs   map[string]*Registration // by name: what is registered here
	waits  map[string]*wait
	gate   gate
	high   int // the queue's high-water mark
	asked  []chan struct{}
	closed bool          // no more registrations
	client shared.Client // of a partition of the second space; nil: nobody has opened that
}

func newPart(r *Registry, n int, seed uint64) *part {
	p := &part{
		reg: r, n: n, inbox: newInbox(), wake: make(chan struct{}, 1),
		winners: xsync.NewMap[string, *replica.Record](),
		regs:    make(map[string]*Registration),
		waits:   make(map[string]*wait),
	}
	p.core = replica.New(replica.Config{
		Self: r.cfg.NodeName, Partition: n, Incarnation: r.incarnation, Clock: r.clock, Seed: seed,
		Compare: compareRecords(r.cfg.Resolver), Publish: p.publish,
		Shared: func(string) bool { return n >= r.cfg.Partitions },
	})
	return p
}

// run is the partition's goroutine.
func (p *part) run() {
	tick := time.NewTimer(rand.N(tickEvery))
	defer tick.Stop()
	flush := time.NewTimer(batchWindow)
	defer flush.Stop()
	armed := true
	for {
		select {
		case <-p.reg.life.Done():
			return
		case <-p.inbox.signal:
			p.receive()
		case <-p.wake:
			if !armed {
				flush.Reset(batchWindow)
				armed = true
			}
		case <-flush.C:
			if armed = p.flush(); armed {
				flush.Reset(atOnce)
			}
		case <-tick.C:
			p.step(p.core.Tick)
			p.reg.conflicts.log(p.reg)
			tick.Reset(tickEvery*3/4 + rand.N(tickEvery/2))
		}
	}
}

// step runs f on the core and does what that led to.
func (p *part) step(f func(replica.At)) {
	p.mu.Lock()
	f(p.reg.now())
	e := p.settle()
	p.mu.Unlock()
	p.act(e)
}

// effects are what has to be done once the lock is released.
type effects struct {
	out   replica.Output
	ended []ending
}

type ending struct {
	g     *Registration
	cause error
}

// settle takes what the core's inputs led to: it tells watchers and those who wait, and returns what
// must not be done under the lock. The caller holds mu.
func (p *part) settle() effects {
	e := effects{out: p.core.Take()}
	for _, event := range e.out.Events {
		if event.Type == replica.SharedChanged && p.client != nil {
			p.client.Changed(event.Record)
		}
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
	depth, _ := p.core.Pending()
	p.high = max(p.high, depth)
	p.gate.open(p.reg.cfg.QueueSize - depth)
	if depth > 0 {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	if len(p.asked) > 0 && p.core.Synced() {
		for _, done := range p.asked {
			close(done)
		}
		p.asked = nil
	}
	return e
}

// act does what settle returned. The caller does not hold mu.
func (p *part) act(e effects) {
	for _, end := range e.ended {
		end.g.cancel(end.cause)
	}
	for _, env := range e.out.Send {
		p.sentBytes.Add(p.size(env.Message))
		switch env.Message.(type) {
		case *replica.Summary, *replica.Vector:
			// Lost ones are asked for again, so a packet will do if it fits.
			if p.reg.net.Probe(env.To, p.n, env.Message) {
				continue
			}
		}
		p.reg.net.Send(env.To, p.n, env.Message) // no room: as if lost
	}
	for _, u := range e.out.Relay {
		if p.reg.net.Backlog() < gossipDepth { // else whoever missed it asks, or its origin sent it to all
			p.reg.net.Relay(p.n, u)
		}
	}
	p.reg.logEvents(p.n, e.out.Events)
}

// size is what a message takes on the wire.
func (p *part) size(m replica.Message) uint64 {
	return uint64(wire.Item{Partition: p.n, Message: m}.Size()) //nolint:gosec // a length
}

// receive handles all that is in the inbox.
func (p *part) receive() {
	items := p.inbox.take()
	for len(items) > 0 {
		some := items[:min(len(items), itemsPerLock)]
		items = items[len(some):]
		p.step(func(at replica.At) {
			for _, it := range some {
				switch {
				case it.message != nil:
					p.core.Receive(at, it.node, it.message)
				case it.synced != nil:
					p.asked = append(p.asked, it.synced)
				case it.news == nodeUp:
					p.core.NodeUp(at, it.node, it.incarnation)
				default:
					p.core.NodeDown(at, it.node, it.news == nodeLeft)
				}
			}
		})
	}
}

// flush sends own changes: a few in packets, many over connections to every node, one piece at a time so that the
// goroutine stays responsive. Where gossip carries the packets it has about one per round and node, so that more than a
// little would wait in it for seconds. flush reports whether it should be called again at once.
func (p *part) flush() (again bool) {
	p.mu.Lock()
	depth, _ := p.core.Pending()
	alone, bulk := p.closed || p.reg.peers.count.Load() == 0, depth > bulkNames
	var updates []*replica.Update
	switch {
	case alone:
		p.core.Flush(bulkBytes, 0) // for nobody: who comes up later asks for all there is, and who has left is dropped
	case bulk:
		updates = p.core.Flush(bulkBytes, 1)
	default:
		updates = p.core.Flush(packetBytes, 1)
	}
	depth, _ = p.core.Pending()
	e := p.settle()
	p.mu.Unlock()
	p.act(e)
	// Waiting here keeps the queue filled, and that makes Register wait.
	ctx, cancel := context.WithTimeout(p.reg.life, roomWait)
	defer cancel()
	for _, u := range updates {
		p.sentBytes.Add(p.size(u))
		if !bulk && p.reg.net.Backlog() < gossipDepth && p.reg.net.Broadcast(p.n, u) {
			continue
		}
		if err := p.reg.net.SendAll(ctx, p.n, u); err != nil {
			p.reg.log.Debug("no room to send to all nodes; they will ask", "partition", p.n, "names", len(u.Records), "error", err)
		}
	}
	return depth > 0
}

// publish is told by the core who wins a name now.
func (p *part) publish(name string, winner *replica.Record) {
	before, _ := p.winners.Load(name)
	if winner == nil {
		p.winners.Delete(name)
	} else {
		p.winners.Store(name, winner)
		p.announce(name, winner)
	}
	p.heap.Add(heapOf(winner) - heapOf(before))
}
