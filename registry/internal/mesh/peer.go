package mesh

import (
	"sync"

	"github.com/snowfence/snowfence/registry/internal/wire"
)

// frameBytes bounds the part of a peer's queue that goes into one frame, and so into one
// connection.
const frameBytes = 256 << 10

// A peer sends to one member over connections, one frame at a time, in the order of the queue. A
// slow or dead member fills its own queue and delays no other.
type peer struct {
	mesh   *Mesh
	member *member
	wake   chan struct{} // has room for one
	done   chan struct{} // closed by stop

	mu      sync.Mutex // guards all below; only space.mu is taken inside
	queue   []wire.Item
	sizes   []int
	bytes   int // queued, or being sent
	stopped bool
}

func newPeer(m *Mesh, x *member) *peer {
	return &peer{mesh: m, member: x, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// outcome is the outcome of an offer.
type outcome int

const (
	queued outcome = iota
	full
	gone
)

// offer queues an item if there is room. One that is larger than the bound is accepted if nothing
// else waits, as it could never be sent otherwise.
func (p *peer) offer(item wire.Item, size int) outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return gone
	}
	if p.bytes > 0 && p.bytes+size > p.mesh.cfg.PeerQueueBytes {
		return full
	}
	p.queue = append(p.queue, item)
	p.sizes = append(p.sizes, size)
	p.bytes += size
	p.mesh.counters.peerQueueHigh.raise(p.bytes)
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return queued
}

// stop ends run and drops the queue.
func (p *peer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	p.stopped = true
	p.mesh.counters.peerGone.Add(uint64(len(p.queue)))
	p.queue, p.sizes, p.bytes = nil, nil, 0
	p.mesh.space.signal()
	close(p.done)
}

// run is the peer's goroutine.
func (p *peer) run() {
	select {
	case <-p.mesh.ready:
	case <-p.mesh.ctx.Done():
		return
	}
	for {
		select {
		case <-p.wake:
		case <-p.done:
			return
		case <-p.mesh.ctx.Done():
			return
		}
		for p.mesh.ctx.Err() == nil {
			items, bytes := p.take()
			if len(items) == 0 {
				break
			}
			p.send(items)
			p.release(bytes)
		}
	}
}

// take removes the next items, about frameBytes of them, and returns them with their size.
func (p *peer) take() (items []wire.Item, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := 0
	for k < len(p.queue) && k < wire.MaxItems && (k == 0 || bytes+p.sizes[k] <= frameBytes) {
		bytes += p.sizes[k]
		k++
	}
	if k == len(p.queue) {
		items, p.queue, p.sizes = p.queue, nil, nil
		return items, bytes
	}
	items = append(items, p.queue[:k]...)
	clear(p.queue[:k]) // items that were sent must not live as long as the queue
	p.queue, p.sizes = p.queue[k:], p.sizes[k:]
	return items, bytes
}

// release gives the room of items that were sent back.
func (p *peer) release(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	p.bytes -= bytes
	p.mesh.space.signal()
}

// send sends one frame. It does not try again, which would only delay the queue: the receiver
// detects what it missed.
func (p *peer) send(items []wire.Item) {
	m := p.mesh
	b, err := m.encode(byReliable, items)
	if err != nil {
		if len(items) == 1 {
			m.invalid(err)
			return
		}
		for i := range items { // one by one, so that a bad item does not drop the others
			p.send(items[i : i+1])
		}
		return
	}
	if err := m.list.SendReliable(&p.member.node, b); err != nil {
		m.counters.sendFailed.Add(uint64(len(items)))
		if ok, repeats := m.repeats.Allow("send " + p.member.Name); ok {
			m.log.Debug("send failed", "member", p.member.Name, "addr", p.member.Addr, "err", err, "repeats",
				repeats)
		}
		return
	}
	m.counters.reliable.sent(len(b))
}

// depth returns what waits, and the bytes that are being sent as well.
func (p *peer) depth() (items, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue), p.bytes
}
