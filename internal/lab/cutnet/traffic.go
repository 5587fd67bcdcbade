package cutnet

// Traffic counts what went over a link, or over all.
type Traffic struct {
	Packets     uint64 // sent, those included that met a cut on their way
	PacketBytes uint64
	Dropped     uint64 // packets that were lost or met a cut
	Streams     uint64 // opened
	StreamBytes uint64 // written to them by the end that Traffic is from
	Refused     uint64 // streams that a cut kept from being opened
	Broken      uint64 // streams that a cut reset
}

func (t *Traffic) add(o *Traffic) {
	t.Packets += o.Packets
	t.PacketBytes += o.PacketBytes
	t.Dropped += o.Dropped
	t.Streams += o.Streams
	t.StreamBytes += o.StreamBytes
	t.Refused += o.Refused
	t.Broken += o.Broken
}

// Traffic returns the counts of all links together.
func (n *Network) Traffic() Traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	var sum Traffic
	for _, t := range n.traffic {
		sum.add(t)
	}
	return sum
}

// TrafficFrom returns the counts of all links from a node.
func (n *Network) TrafficFrom(name string) Traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	var sum Traffic
	for link, t := range n.traffic {
		if link.from == name {
			sum.add(t)
		}
	}
	return sum
}

// LinkTraffic returns the counts of one direction of a link. Streams are counted for the end that
// opened them.
func (n *Network) LinkTraffic(from, to string) Traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	return *n.of(from, to)
}

// of returns a link's counts; the caller holds n.mu.
func (n *Network) of(from, to string) *Traffic {
	t := n.traffic[link{from, to}]
	if t == nil {
		t = new(Traffic)
		n.traffic[link{from, to}] = t
	}
	return t
}
