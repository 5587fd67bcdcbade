package mesh

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/hashicorp/memberlist"
)

// A delegate gets memberlist's calls. Its methods about the coming and going of nodes are called
// one at a time, under memberlist's lock for nodes; that keeps the order of events.
type delegate struct{ mesh *Mesh }

// NodeMeta returns the node's metadata.
func (d *delegate) NodeMeta(int) []byte {
	return encodeMeta(d.mesh.cfg.Identity, d.mesh.cfg.Incarnation)
}

// NotifyMsg gets a message of ours, over any path. The bytes belong to memberlist.
func (d *delegate) NotifyMsg(b []byte) {
	d.mesh.ifOpen(func() { d.mesh.receive(b) })
}

// GetBroadcasts returns the messages for a packet of gossip.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.mesh.takeBroadcasts(overhead, limit)
}

// LocalState returns nothing: no message may grow with the number of names.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState ignores what another release might send.
func (d *delegate) MergeRemoteState([]byte, bool) {}

// NotifyJoin is called for a new member.
func (d *delegate) NotifyJoin(n *memberlist.Node) {
	d.mesh.ifOpen(func() { d.mesh.joined(n) })
}

// NotifyUpdate is called for a member whose metadata changed: it was restarted.
func (d *delegate) NotifyUpdate(n *memberlist.Node) {
	d.mesh.ifOpen(func() { d.mesh.updated(n) })
}

// NotifyLeave is called for a member that left or died.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	d.mesh.ifOpen(func() { d.mesh.gone(n.Name) })
}

// errClosing keeps memberlist from accepting nodes while the mesh closes.
var errClosing = errors.New("mesh: closing")

// NotifyMerge is called on both sides when a node joins, before anything is merged.
func (d *delegate) NotifyMerge(nodes []*memberlist.Node) error {
	err := errClosing
	d.mesh.ifOpen(func() { err = d.mesh.admitAll(nodes) })
	return err
}

// NotifyAlive is called with all news of a live node, so that clusters do not merge by hearsay.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	err := errClosing
	d.mesh.ifOpen(func() {
		err = d.mesh.admit(n)
		if err != nil {
			d.mesh.refuse(n.Name, n.Address(), err)
		}
	})
	return err
}

// NotifyConflict is called if a live node's name is also used at another address.
func (d *delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.mesh.ifOpen(func() {
		d.mesh.refuse(other.Name, other.Address(), d.mesh.duplicate(existing.Name, existing.Address()))
	})
}

// AckPayload returns the identity's hash and the incarnation, for an answer to a probe: a node that
// was restarted at the same address answers for the run before.
func (d *delegate) AckPayload() []byte {
	b := binary.BigEndian.AppendUint64(nil, d.mesh.cfg.Identity.hash())
	return binary.BigEndian.AppendUint64(b, d.mesh.cfg.Incarnation)
}

// NotifyPingComplete gets the answer to a probe.
func (d *delegate) NotifyPingComplete(n *memberlist.Node, _ time.Duration, payload []byte) {
	if len(payload) != 16 {
		return
	}
	hash, incarnation := binary.BigEndian.Uint64(payload), binary.BigEndian.Uint64(payload[8:])
	name, addr := n.Name, n.Address()
	d.mesh.ifOpen(func() { d.mesh.answered(name, addr, hash, incarnation) })
}
