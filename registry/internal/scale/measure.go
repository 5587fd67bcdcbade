package scale

import (
	"fmt"
	"slices"
	"time"
)

// Changes holds the costs of single changes.
type Changes struct {
	Median, P99, Slowest time.Duration // until all nodes show one
	Bytes                float64       // that a node sends for each, on average
	Copies               float64       // of each that a node sends
	Late                 int           // changes that some node got only after a digest
	Of                   int
}

// Change registers names on random nodes at a rate, and follows each until all nodes show it.
func (w *World) Change(changes, perSecond int) (Changes, error) {
	w.counts = [paths]Count{}
	var all []*spread
	start := w.now
	for i := range changes {
		w.Run(start+time.Duration(i)*time.Second/time.Duration(perSecond)-w.now, never)
		n := w.nodes[w.rand.IntN(len(w.nodes))]
		name := fmt.Sprintf("change/%09d", i)
		s := &spread{from: w.now, left: len(w.nodes)}
		w.waited[name] = s
		w.spreading++
		all = append(all, s)
		n.Register(n.at(), name, metaOf())
		n.takeEffects()
	}
	if !w.Run(5*time.Minute, func() bool { return w.spreading == 0 }) {
		return Changes{}, fmt.Errorf(
			"scale: changes did not reach all of %d nodes in 5 minutes",
			len(w.nodes),
		)
	}
	w.Run(5*time.Second, never)
	c := Changes{Of: changes}
	took := make([]time.Duration, changes)
	for i, s := range all {
		took[i] = s.took
		if s.took > compareEvery/2 {
			c.Late++
		}
	}
	slices.Sort(took)
	c.Median, c.P99, c.Slowest = took[changes/2], took[changes*99/100], took[changes-1]
	sent := w.counts[straight].Bytes + w.counts[gossip].Bytes
	per := float64(changes * len(w.nodes))
	c.Bytes = float64(sent) / per
	c.Copies = float64(w.counts[straight].Messages+w.counts[gossip].Messages) / per
	return c, nil
}

// Idle returns the bytes that a node sends in a second while nothing happens.
func (w *World) Idle(d time.Duration) float64 {
	w.Run(10*time.Second, never) // until nothing is under way
	w.counts = [paths]Count{}
	w.Run(d, never)
	sum := 0
	for _, c := range w.counts {
		sum += c.Bytes
	}
	return float64(sum) / d.Seconds() / float64(len(w.nodes))
}

// A Move holds the costs of nodes that come, in one partition.
type Move struct {
	Took           time.Duration // until all nodes show all names
	Vectors, Names float64       // bytes of either kind that such a node gets
	Sent           float64       // bytes that it sends
	Other          float64       // bytes that one of the others sends
}

// Join measures a node that comes.
func (w *World) Join() (Move, error) {
	names := w.nodes[0].names
	n := w.add("newcomer")
	for _, other := range w.nodes[:len(w.nodes)-1] {
		n.see(other, true)
		other.see(n, true)
	}
	n.begin()
	return w.settleDown([]*node{n}, names)
}

// Rack cuts some nodes off from the others and brings them back after a while. Meanwhile one name
// in a hundred is registered on either side.
func (w *World) Rack(nodes int, away time.Duration) (Move, error) {
	names := w.nodes[0].names
	rack, rest := w.nodes[:nodes], w.nodes[nodes:]
	for _, x := range rack {
		for _, y := range rest {
			x.see(y, false)
			y.see(x, false)
		}
	}
	more := max(2, names/100)
	for i := range more {
		w.Run(away/time.Duration(more), never)
		n := rest[w.rand.IntN(len(rest))]
		if i%2 == 0 {
			n = rack[w.rand.IntN(len(rack))]
		}
		n.Register(n.at(), fmt.Sprintf("meanwhile/%06d", i), metaOf())
		n.takeEffects()
	}
	for _, x := range rack {
		for _, y := range rest {
			w.after(w.between(0, meeting), func() { x.meet(y) })
			w.after(w.between(0, meeting), func() { y.meet(x) })
		}
	}
	return w.settleDown(rack, names+more)
}

// meeting is the time in which membership reports to all nodes that others are back.
const meeting = 2 * time.Second

func (n *node) meet(other *node) {
	n.see(other, true)
	n.takeEffects()
	n.soon()
}

// settleDown waits until all nodes show some names, after some nodes came.
func (w *World) settleDown(came []*node, names int) (Move, error) {
	w.counts = [paths]Count{}
	for _, n := range w.nodes {
		n.sent, n.got = 0, [paths]int{}
	}
	start := w.now
	for _, n := range w.nodes {
		n.takeEffects()
		n.soon()
	}
	last := 0
	done := func() bool {
		if last == 0 && w.now < start+meeting && len(came) > 1 {
			return false
		}
		for ; last < len(w.nodes); last++ {
			if n := w.nodes[last]; n.names != names || !n.Synced() {
				return false
			}
		}
		return true
	}
	if !w.Run(5*time.Minute, done) {
		return Move{}, fmt.Errorf("scale: %d nodes do not agree after 5 minutes", len(w.nodes))
	}
	m := Move{Took: w.now - start}
	w.Run(2*time.Second, never) // until nothing is under way
	sent, all := 0, 0
	for _, n := range came {
		m.Vectors += float64(n.got[vectors]) / float64(len(came))
		m.Names += float64(n.got[chunks]) / float64(len(came))
		sent += n.sent
	}
	for _, n := range w.nodes {
		all += n.sent
	}
	m.Sent = float64(sent) / float64(len(came))
	m.Other = float64(all-sent) / float64(len(w.nodes)-len(came))
	return m, nil
}
