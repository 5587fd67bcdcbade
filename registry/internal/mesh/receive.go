package mesh

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/snowfence/snowfence/registry/internal/wire"
)

// The first byte of each message of ours says what follows it.
const (
	byGossip   byte = 'G' // a frame, and the path that it took
	byReliable byte = 'R'
	byProbe    byte = 'P'
	isLeaving  byte = 'L' // the node that sends is about to leave
	isNoted    byte = 'N' // the answer to that
)

// incarnationSlack bounds how far an incarnation is ahead of the own wall clock: a hundred years,
// as a clock that is wrong must not shut its node out, and what is forged must leave room above it.
// A node that is driven up to the limit raises its own a little above that, and the clock carries
// the limit past it.
const incarnationSlack = 100 * 365 * 24 * uint64(time.Hour)

// receive takes a message. It must not keep b.
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

// receiveFrame passes a frame on if its sender is a member. A frame of a node that is unknown may
// be that of one that has joined but whose name has not come round, so another member is asked;
// what it said is found by the next comparison, as if the packet had been lost. A frame of the own
// name comes from a duplicate, or in a circle.
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
	if ok, repeats := m.repeats.allow("rejected " + host(from) + " " + fmt.Sprintf("%T", err)); ok {
		m.log.Warn("bytes rejected", "from", from, "err", err, "repeats", repeats)
	}
	m.cfg.Handler.Rejected(from, err)
}

// host leaves out the port: each connection has another.
func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// rejectedByList gets what memberlist could not decrypt.
func (m *Mesh) rejectedByList(from string, err error) {
	m.hear(func() { m.reject(from, err) })
}

// A notice names a node and its incarnation.
func appendNotice(sort byte, node string, incarnation uint64) []byte {
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
	if m.members.says(node, incarnation) {
		m.probes.notice(node, appendNotice(isNoted, m.cfg.Node, m.cfg.Incarnation))
	}
}
