package mesh

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/snowfence/snowfence/registry/internal/wire"
)

// The first byte of each message of ours is its type.
const (
	byGossip   byte = 'G' // a frame, by the path that it took
	byReliable byte = 'R'
	byProbe    byte = 'P'
	isLeaving  byte = 'L' // the node that sends is about to leave
	isNoted    byte = 'N' // the answer to that
)

// incarnationSlack bounds how far an incarnation may be ahead of this node's wall clock: a hundred
// years, as a wrong clock must not shut its node out, and a forged incarnation must leave room
// above it. A node that is driven up to the limit raises its own a little above that, and the clock
// moves the limit past it.
const incarnationSlack = 100 * 365 * 24 * uint64(time.Hour)

// receive handles a message. It must not keep b.
func (m *Mesh) receive(b []byte) {
	if len(b) == 0 {
		m.reject("", fmt.Errorf("mesh: an empty message"))
		return
	}
	path := m.counters.path(b[0])
	switch {
	case path != nil:
		m.receiveFrame(b, path)
	case b[0] == isLeaving || b[0] == isNoted:
		m.receiveNotice(b)
	default:
		m.reject("", fmt.Errorf("mesh: a message of an unknown sort, %#x", b[0]))
	}
}

// receiveFrame passes a frame on if its sender is a member. An unknown sender may have joined
// although the news has not reached this node, so another member is asked; the frame counts as
// lost. A frame of this node's own name comes from a duplicate, or back from another node.
func (m *Mesh) receiveFrame(b []byte, path *pathCounters) {
	limits := m.limits
	//nolint:gosec // positive until 2262
	limits.MaxIncarnation = uint64(m.cfg.Wall()) + incarnationSlack
	f, err := wire.Decode(b[1:], limits)
	if err != nil {
		m.reject("", err)
		return
	}
	if f.From == m.cfg.Node {
		m.counters.own.Add(1)
		return
	}
	incarnation, ok := m.members.incarnation(f.From)
	switch {
	case !ok:
		m.counters.unknown.Add(1)
		m.askAround()
		return
	case f.Incarnation < incarnation:
		m.counters.stale.Add(1)
		return
	}
	path.framesIn.Add(1)
	path.bytesIn.Add(uint64(len(b)))
	m.cfg.Handler.Frame(f, len(b))
}

func (m *Mesh) reject(from string, err error) {
	m.counters.rejected.Add(1)
	if ok, repeats := m.repeats.Allow("rejected " + host(from) + " " + fmt.Sprintf("%T", err)); ok {
		m.log.Warn("bytes rejected", "from", from, "err", err, "repeats", repeats)
	}
	m.cfg.Handler.Rejected(from, err)
}

// host returns an address without its port, which differs for each connection.
func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// rejectedByList is called for messages that memberlist could not decrypt.
func (m *Mesh) rejectedByList(from string, err error) {
	m.ifOpen(func() { m.reject(from, err) })
}

// newNotice returns a notice, which names a node and its incarnation.
func newNotice(sort byte, node string, incarnation uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{sort}, incarnation)
	return append(b, node...)
}

func (m *Mesh) receiveNotice(b []byte) {
	if len(b) < 10 || len(b) > 9+maxNode {
		m.reject("", fmt.Errorf("mesh: a notice of %d bytes", len(b)))
		return
	}
	node, incarnation := string(b[9:]), binary.BigEndian.Uint64(b[1:])
	if b[0] == isNoted {
		m.leaving.noted(node)
		return
	}
	if m.members.noteLeaving(node, incarnation) {
		m.probes.notice(node, newNotice(isNoted, m.cfg.Node, m.cfg.Incarnation))
	}
}
