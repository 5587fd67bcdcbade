package sim

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// Calm ends all faults, waits until the world has come to rest, and checks what must then be true.
// It panics with a *Violation.
func (w *World) Calm() {
	if w.trace != nil {
		w.logf("== calm")
	}
	w.endFaults()
	best := w.standing()
	if w.uneven() {
		w.runUntil(w.now + clocksHeard)
	}
	w.rest()
	w.quiescent()
	w.winnersStand(best)
	clear(w.dirty)
	if w.setup.Retake {
		w.retake()
	}
	w.weather = w.setup.Weather
	w.round = w.now
}

// clocksHeard is the time within which the nodes have heard enough of each other's clocks.
const clocksHeard = 25 * time.Second

// uneven reports whether clocks are further apart than MaxSkew.
func (w *World) uneven() bool {
	least, most := int64(math.MaxInt64), int64(math.MinInt64)
	for _, n := range w.nodes {
		if n.alive {
			least, most = min(least, n.wall()), max(most, n.wall())
		}
	}
	return most-least > int64(w.setup.MaxSkew) && w.living() > 1
}

// endFaults mends all links, makes the weather fair, resumes paused nodes, and starts some of the
// dead ones.
func (w *World) endFaults() {
	w.heal()
	w.weather = Weather{Delay: w.setup.Delay}
	for _, n := range w.nodes {
		n.resume()
		if !n.alive && n.dice.chance(0.5) {
			n.start()
		}
	}
	w.lookAround()
}

// rest runs the world until only summaries are sent, and all of them are equal.
func (w *World) rest() {
	start := w.now
	unsettled := w.now
	for {
		w.runUntil(w.now + 100*time.Millisecond)
		if !w.settled() {
			unsettled = w.now
		}
		since := max(unsettled, w.busy)
		if w.now > since+w.setup.Limits.SummaryEvery*3/2 && w.agreed(since) {
			return
		}
		if w.now > start+w.setup.Bound {
			w.violated("AllMessagesProcessed", "no rest %v after calm began: %s", w.setup.Bound, w.unrest())
		}
	}
}

// settled reports whether no node has anything left to do.
func (w *World) settled() bool {
	if w.flying > 0 || w.checks > 0 {
		return false
	}
	for _, n := range w.nodes {
		if !n.alive {
			continue
		}
		for i := range n.cores {
			if names, _ := n.cores[i].Pending(); names > 0 || !n.cores[i].Synced() {
				return false
			}
		}
	}
	return true
}

// agreed reports whether every core has sent a summary since a moment, and all sent the same.
func (w *World) agreed(since time.Duration) bool {
	if w.living() < 2 {
		return true
	}
	for part := range w.setup.Partitions {
		var first *core
		for _, n := range w.nodes {
			if !n.alive {
				continue
			}
			c := &n.cores[part]
			if c.rootAt < since {
				return false
			}
			if first == nil {
				first = c
			}
			if c.root != first.root {
				return false
			}
		}
	}
	return true
}

func (w *World) living() (n int) {
	for _, x := range w.nodes {
		if x.alive {
			n++
		}
	}
	return n
}

// unrest describes the work that is left, for a violation.
func (w *World) unrest() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages under way, %d looks due, last message %v ago", w.flying, w.checks,
		w.now-w.busy)
	for _, n := range w.nodes {
		if !n.alive {
			continue
		}
		for i := range n.cores {
			c := &n.cores[i]
			names, _ := c.Pending()
			fmt.Fprintf(&b, "\n\t%s [%d]: pending %d, synced %v, last root %x %v ago, sees up:", n.name, i,
				names, c.Synced(), c.root, w.now-c.rootAt)
			for j, v := range n.views {
				if v.up {
					fmt.Fprintf(&b, " %s", w.nodes[j].name)
				}
			}
		}
	}
	return b.String()
}

// standing returns the claim that must survive a calm in which no claim is released, for each name
// of which none was released before.
func (w *World) standing() map[string]*replica.Record {
	best := make(map[string]*replica.Record)
	for _, name := range w.names {
		if w.dirty[name] || w.setup.shared(name) {
			continue
		}
		var claims []*replica.Record
		for _, n := range w.nodes {
			if n.alive {
				if r := n.cores[w.partOf[name]].own[name]; r != nil {
					claims = append(claims, r)
				}
			}
		}
		if len(claims) > 0 {
			best[name] = w.setup.Resolver.pick(claims)
		}
	}
	return best
}

// retake releases some names and registers them on other nodes. (Retakable.)
func (w *World) retake() {
	tried := 0
	for k, name := range w.names {
		if tried == 2 || w.living() < 2 || w.setup.shared(name) {
			break
		}
		var holder *node
		for _, n := range w.nodes {
			if n.alive && n.cores[w.partOf[name]].own[name] != nil {
				holder = n
			}
		}
		if holder != nil {
			if w.trace != nil {
				w.logf("== release %q on %s", name, holder.name)
			}
			holder.unregister(name, replica.WhyReleased)
			w.rest()
		}
		next := w.nodes[k%len(w.nodes)]
		for !next.alive || next == holder {
			next = w.nodes[(next.id+1)%len(w.nodes)]
		}
		if w.trace != nil {
			w.logf("== take %q on %s", name, next.name)
		}
		own := next.register(name, []byte{1})
		if own == nil {
			w.violated("Retakable", "%q was released everywhere, but %s can't register it: it shows %v",
				name, next.name, next.cores[w.partOf[name]].Lookup(name))
		}
		w.rest()
		w.quiescent()
		if r := next.cores[w.partOf[name]].own[name]; r == nil {
			w.violated("Retakable", "%q was released everywhere and registered on %s alone, which lost it",
				name, next.name)
		}
		tried++
	}
	clear(w.dirty)
}
