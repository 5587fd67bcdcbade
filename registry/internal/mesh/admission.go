package mesh

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// admit returns nil if a node's identity is this cluster's, and a MismatchError otherwise.
func (m *Mesh) admit(n *memberlist.Node) error {
	theirs, _, err := decodeMeta(n.Meta)
	if err != nil {
		return &MismatchError{Node: n.Name, Addr: n.Address(), Err: err}
	}
	if d := m.cfg.Identity.differences(theirs); len(d) > 0 {
		return &MismatchError{Node: n.Name, Addr: n.Address(), Differences: d}
	}
	return nil
}

// admitAll returns an error if the other side of a join must be refused; nodes are those that it
// knows of. If one identity differs, all are refused. A name that is used twice keeps out only a
// node that comes alone: when two halves of a cluster find each other again, one duplicate must not
// keep all others apart.
func (m *Mesh) admitAll(nodes []*memberlist.Node) error {
	var live []*memberlist.Node
	for _, n := range nodes {
		if n.State == memberlist.StateAlive || n.State == memberlist.StateSuspect {
			live = append(live, n)
		}
	}
	refuse := func(n *memberlist.Node, err error) error {
		m.refusals.remember(nodes, err)
		m.refuse(n.Name, n.Address(), err)
		return err
	}
	for _, n := range live {
		if err := m.admit(n); err != nil {
			return refuse(n, err)
		}
	}
	alone := m.members.others() == 0
	for _, n := range live {
		addr := n.Address()
		if n.Name == m.self.Name {
			if addr != m.self.Addr && (alone || len(live) == 1) {
				taken := addr
				if !alone {
					taken = m.self.Addr // the other is the one that comes alone
				}
				return refuse(n, m.duplicate(n.Name, taken))
			}
			continue
		}
		if x := m.members.get(n.Name); x != nil && x.Addr != addr && len(live) == 1 {
			return refuse(n, m.duplicate(n.Name, x.Addr))
		}
	}
	return nil
}

func (m *Mesh) duplicate(name, addr string) error {
	return &DuplicateNameError{Name: name, Addr: addr, Free: m.nameFree()}
}

// nameFree returns roughly how long the members may take to declare a crashed node dead: until each
// of them, in its own random order, has probed it, and then the longest suspicion.
func (m *Mesh) nameFree() time.Duration {
	n := m.members.others() + 1
	d := time.Duration(float64(m.cfg.ProbeInterval) * float64(m.cfg.SuspicionMult) * max(1,
		math.Log10(float64(n))))
	if n-2 >= m.cfg.SuspicionMult-2 {
		// until enough others agree
		d *= time.Duration(memberlist.DefaultLANConfig().SuspicionMaxTimeoutMult)
	}
	return d + time.Duration(2*n)*m.cfg.ProbeInterval
}

// refuse reports a node that was kept out, unless it has reported that lately.
func (m *Mesh) refuse(node, addr string, err error) {
	m.counters.refused.Add(1)
	if ok, repeats := m.repeats.Allow("refused " + node + " " + addr + " " + err.Error()); ok {
		m.log.Warn("node refused", "refused", node, "addr", addr, "err", err, "repeats", repeats)
		m.cfg.Handler.Refused(node, addr, err)
	}
}

// answered handles the identity and the incarnation in an answer to a probe. A restarted node
// answers for its name before it has joined again; if its identity differs now, it never will join,
// and probes alone would not show that the member is gone. So nothing is sent to it any more, and
// the members declare it dead. Each node acts on the answers to its own probes.
func (m *Mesh) answered(name, addr string, hash, incarnation uint64) {
	if hash != m.cfg.Identity.hash() {
		m.transport.shun(addr, max(m.nameFree(), time.Minute))
		m.refuse(name, addr, &MismatchError{Node: name, Addr: addr})
		return
	}
	if known, ok := m.members.incarnation(name); ok && known != incarnation {
		m.rejoin.kick(addr) // the next exchange with it may be late
	}
}

// refusals remembers the errors of the delegate that memberlist turns into text on their way to
// [Mesh.Join], each with the nodes that the other side named, so that an attempt finds its own by
// the node that answered.
type refusals struct {
	mu     sync.Mutex // guards all below; no other lock is taken inside
	count  uint64     // of all, ever
	recent []refusal  // the latest, at most maxRefusals
}

type refusal struct {
	number uint64
	nodes  map[string]struct{}
	err    error
}

// maxRefusals is more than the exchanges under way at a time.
const maxRefusals = 32

// remember notes that the other side, which named these nodes, was refused.
func (r *refusals) remember(nodes []*memberlist.Node, err error) {
	names := make(map[string]struct{}, len(nodes))
	for _, n := range nodes {
		names[n.Name] = struct{}{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if len(r.recent) == maxRefusals {
		r.recent = slices.Delete(r.recent, 0, 1)
	}
	r.recent = append(r.recent, refusal{r.count, names, err})
}

// mark returns the number of the latest refusal, for since.
func (r *refusals) mark() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// since returns the latest refusal after a mark of a side that named a node; nil if there is none.
func (r *refusals) since(mark uint64, node string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range slices.Backward(r.recent) {
		if _, ok := x.nodes[node]; ok && x.number > mark {
			return x.err
		}
	}
	return nil
}
