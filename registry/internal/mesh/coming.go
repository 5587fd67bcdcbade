package mesh

import "github.com/hashicorp/memberlist"

// joined adds a member. Memberlist holds its lock; the node is memberlist's.
func (m *Mesh) joined(n *memberlist.Node) {
	_, incarnation, err := decodeMeta(n.Meta)
	if n.Name == m.cfg.Node || err != nil { // admit has refused one that can't be read
		return
	}
	x := &member{
		Member: Member{Name: n.Name, Addr: n.Address(), Incarnation: incarnation},
		node:   memberlist.Node{Name: n.Name, Addr: n.Addr, Port: n.Port, PMax: n.PMax},
	}
	x.peer = newPeer(m, x)
	m.spawn(x.peer.run)
	if old := m.members.put(x); old != nil {
		old.peer.stop()
	}
	m.transport.unshun(x.Addr)
	m.rejoin.found(x.Name)
	m.log.Info("node up", "member", x.Name, "addr", x.Addr, "incarnation", incarnation)
	m.cfg.Handler.NodeUp(x.Name, incarnation, x.Addr)
}

// updated notes a member's new incarnation.
func (m *Mesh) updated(n *memberlist.Node) {
	_, incarnation, err := decodeMeta(n.Meta)
	if n.Name == m.cfg.Node || err != nil || !m.members.renew(n.Name, incarnation) {
		return
	}
	addr := n.Address()
	m.transport.unshun(addr)
	m.log.Info("node restarted", "member", n.Name, "addr", addr, "incarnation", incarnation)
	m.cfg.Handler.NodeUp(n.Name, incarnation, addr)
}

// gone removes a member.
func (m *Mesh) gone(name string) {
	x, left, others := m.members.remove(name)
	if x == nil {
		return
	}
	x.peer.stop()
	m.probes.forget(name)
	if others == 0 {
		m.broadcast.reset() // no member is left to send it to, and nothing would empty it
	}
	if !left {
		m.rejoin.lost(name, x.Addr)
	}
	m.log.Info("node down", "member", name, "addr", x.Addr, "left", left)
	m.cfg.Handler.NodeDown(name, left)
}
