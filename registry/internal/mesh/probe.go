package mesh

import (
	"sync"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// packetWindow is the time for which small messages wait for others to the same member. It is the
// only wait of a change on its way to the wire: when it ends, partitions are asked for their
// changes, see Soon.
const packetWindow = 2 * time.Millisecond

// probeBytes bounds the messages that wait for one member, and maxNotices the notices to all
// members.
const (
	probeBytes = 64 << 10
	maxNotices = 1024
)

// probes holds small messages that wait to be put into packets.
type probes struct {
	wake chan struct{} // has room for one

	mu      sync.Mutex // guards all below; no other lock is taken inside
	open    bool       // a window is open, or will be: it takes all messages until it ends
	callers []func()
	pending map[string]*batch
	notices []notice
}

type batch struct {
	items []wire.Item
	bytes int
}

type notice struct {
	to   string
	text []byte
}

func (p *probes) init() {
	p.wake = make(chan struct{}, 1)
	p.pending = make(map[string]*batch)
}

// Soon calls f within about two milliseconds, just before packets are sent: what f gives to
// Broadcast and Probe shares them. It does not block, and f must not; f may call Soon again. Calls
// come one at a time, and none once Close has returned.
func (m *Mesh) Soon(f func()) {
	p := &m.probes
	p.mu.Lock()
	defer p.mu.Unlock()
	p.callers = append(p.callers, f)
	p.signal()
}

// Probe sends a small message to a member in a packet: it may be lost without notice.
// Messages to the same member within about two milliseconds share packets. The message must not be
// changed any more. It does not block, and reports false if there is no such member, if the message
// does not fit into a packet, or if too many wait.
func (m *Mesh) Probe(to string, partition int, msg replica.Message) bool {
	item := wire.Item{Partition: partition, Message: msg}
	size := item.Size()
	if wire.HeaderSize(m.cfg.Node)+size > m.room {
		m.counters.tooLarge.Add(1)
		return false
	}
	if m.members.get(to) == nil {
		m.counters.noMember.Add(1)
		return false
	}
	if !m.probes.put(to, item, size) {
		m.counters.queueFull.Add(1)
		return false
	}
	return true
}

// put queues an item for a member, and reports whether there was room.
func (p *probes) put(to string, item wire.Item, size int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.pending[to]
	if b == nil {
		b = new(batch)
		p.pending[to] = b
	}
	if b.bytes+size > probeBytes {
		return false
	}
	b.items = append(b.items, item)
	b.bytes += size
	p.signal()
	return true
}

// notice queues a message that is no frame.
func (p *probes) notice(to string, text []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.notices) < maxNotices {
		p.notices = append(p.notices, notice{to, text})
		p.signal()
	}
}

// signal opens a window unless one is open. The caller holds mu.
func (p *probes) signal() {
	if !p.open {
		p.open = true
		p.wake <- struct{}{} // has room: sendProbes took the last one
	}
}

// forget drops the messages to a member that is gone.
func (p *probes) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, name)
}

// collect calls the functions of Soon.
func (p *probes) collect() {
	p.mu.Lock()
	callers := p.callers
	p.callers = nil
	p.mu.Unlock()
	for _, f := range callers {
		f()
	}
}

// take ends the window and returns its messages.
func (p *probes) take() (map[string]*batch, []notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pending, notices := p.pending, p.notices
	p.pending, p.notices = make(map[string]*batch), nil
	p.open = false
	if len(p.callers) > 0 { // they came after collect
		p.signal()
	}
	return pending, notices
}

// sendProbes is the goroutine that sends packets when a window ends.
func (m *Mesh) sendProbes() {
	window := time.NewTimer(packetWindow)
	defer window.Stop()
	for {
		select {
		case <-m.probes.wake:
		case <-m.ctx.Done():
			return
		}
		window.Reset(packetWindow)
		select {
		case <-window.C:
		case <-m.ctx.Done():
			return
		}
		m.probes.collect()
		pending, notices := m.probes.take()
		for to, b := range pending {
			m.sendBatch(to, b.items)
		}
		for _, n := range notices {
			if x := m.members.get(n.to); x != nil {
				m.sendPacket(x, n.text)
			}
		}
	}
}

// sendBatch sends items to a member, in as few packets as they fit into.
func (m *Mesh) sendBatch(to string, items []wire.Item) {
	x := m.members.get(to)
	if x == nil {
		m.counters.peerGone.Add(uint64(len(items)))
		return
	}
	for len(items) > 0 {
		k, bytes := 0, wire.HeaderSize(m.cfg.Node)
		for k < len(items) && (k == 0 || bytes+items[k].Size() <= m.room) {
			bytes += items[k].Size()
			k++
		}
		m.sendProbe(x, items[:k])
		items = items[k:]
	}
}

// sendProbe sends items in one packet or, if one can't be encoded, each of the others in its own.
func (m *Mesh) sendProbe(x *member, items []wire.Item) {
	b, err := m.encode(byProbe, items)
	if err != nil {
		if len(items) == 1 {
			m.invalid(err)
			return
		}
		for i := range items {
			m.sendProbe(x, items[i:i+1])
		}
		return
	}
	if m.sendPacket(x, b) {
		m.counters.packets.sent(len(b))
	} else {
		m.counters.sendFailed.Add(uint64(len(items)))
	}
}

// sendPacket sends a packet, and reports whether the system accepted it.
func (m *Mesh) sendPacket(x *member, b []byte) bool {
	err := m.list.SendBestEffort(&x.node, b)
	if err != nil {
		if ok, repeats := m.repeats.Allow("packet " + x.Name); ok {
			m.log.Debug("packet not sent", "member", x.Name, "addr", x.Addr, "err", err, "repeats", repeats)
		}
	}
	return err == nil
}
