package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// The parameters of flapping, and the bounds of its cost.
const (
	flapNodes    = 16
	flapTime     = time.Minute     // a third of it with -short
	flapOwn      = 20              // names that each node holds throughout
	flapMessages = 10              // per flap, above what the same cluster sends without flaps
	flapPending  = 8               // names in the queue of a node
	flapFlying   = 200             // messages under way at a time
	flapWhole    = 5 * time.Second // after the last flap, every claim is seen everywhere
)

// flapSetup returns a cluster with the registry's defaults. With indirect probes, as in memberlist,
// no node is declared dead because of one bad link. Without them, each flap of a link hides two
// nodes from each other.
func flapSetup(seed uint64, indirect bool) Setup {
	return Setup{
		Seed: seed, Nodes: flapNodes, Partitions: 1, MaxSkew: 2 * time.Second,
		Limits: replica.Limits{SummaryEvery: 2 * time.Second, Tombstones: 1024, Buffered: 64,
			ChunkBytes: 256 << 10},
		Skew:       make([]time.Duration, flapNodes),
		Weather:    Weather{Delay: [2]time.Duration{1e6, 20e6}, Drop: 0.001},
		GossipLoss: 0.02, Fanout: 3, FlushBytes: 1300, FlushMax: 0, Backlog: 1000,
		TickEvery:   100 * time.Millisecond,
		Indirect:    indirect,
		Down:        [2]time.Duration{100e6, 800e6},
		Up:          [2]time.Duration{10e6, 200e6},
		MaxMessages: 10_000_000,
		Bound:       time.Minute,
		Drawn:       numbers(flapNodes),
	}
}

// flapSteps draws claims and releases, and flaps: a link, or all links of a node, cut for up to two
// seconds.
func flapSteps(s Setup, length time.Duration, flapping bool) (steps []Step, flaps int) {
	d := fork(dice(s.Seed), 3)
	g := generator{setup: s}
	var pending []Step
	for at := time.Duration(0); at < length; at += 50 * time.Millisecond {
		for len(pending) > 0 && pending[0].At <= at {
			g.steps = append(g.steps, pending[0])
			pending = pending[1:]
		}
		n := d.intn(flapNodes)
		kind := oneOf(&d, Register, Unregister)
		g.steps = append(g.steps, Step{At: at, Kind: kind, Node: n, Name: fmt.Sprint("x", d.intn(30))})
		other := (n + 1 + d.intn(flapNodes-1)) % flapNodes
		whole, until := d.chance(0.1), at+d.between(100*time.Millisecond, 2*time.Second)
		if !flapping {
			continue
		}
		for k := range flapNodes {
			if k == n || !whole && k != other {
				continue
			}
			flaps++
			g.steps = append(g.steps, Step{At: at, Kind: Sever, Node: n, Other: k})
			mend := Step{At: until, Kind: Mend, Node: n, Other: k}
			i := len(pending)
			for i > 0 && pending[i-1].At > until {
				i--
			}
			pending = append(pending[:i], append([]Step{mend}, pending[i:]...)...)
		}
	}
	return g.steps, flaps
}

// flapResult is the cost of a run.
type flapResult struct {
	sent, flaps, pending, flying int
	byKind                       [replica.Kinds]int
	whole                        time.Duration
}

// flap runs the steps. It checks that the claims of a node that is seen up, and whose state is
// known, stay visible: no message of another node hides them.
func flap(t *testing.T, s Setup, length time.Duration, flapping bool) (r flapResult) {
	w := New(s)
	defer func() {
		if v, ok := recover().(*Violation); ok {
			v.At = w.now
			t.Fatalf("seed %d: %v", s.Seed, v)
		}
	}()
	for i, n := range w.nodes {
		for k := range flapOwn {
			n.register(own(i, k), nil)
		}
	}
	w.rest()
	w.round = w.now
	w.sent, w.pending = [replica.Kinds]int{}, 0
	steps, flaps := flapSteps(s, length, flapping)
	var shown [flapNodes][flapNodes]bool
	watch := func() {
		for i, n := range w.nodes {
			for j := range w.nodes {
				sees := n.cores[0].Lookup(own(j, 0)) != nil
				if shown[i][j] && !sees && n.views[j].up && n.views[j].spoken[0].given {
					t.Fatalf("seed %d: at %v %s lost sight of %s, which it sees up", s.Seed, w.now, n.name,
						nodeName(j))
				}
				shown[i][j] = sees && (i == j || n.views[j].up && n.views[j].spoken[0].given)
			}
		}
		r.flying = max(r.flying, w.flying)
	}
	for i, step := range steps {
		w.Play(steps[i : i+1])
		if i == 0 || step.At != steps[i-1].At {
			watch()
		}
	}
	r.sent, r.byKind, r.flaps, r.pending = 0, w.sent, flaps, w.pending
	for _, n := range w.sent {
		r.sent += n
	}
	w.heal()
	w.lookAround()
	healed := w.now
	for !everywhere(w) {
		w.runUntil(w.now + 20*time.Millisecond)
		watch()
		if w.now > healed+flapWhole {
			t.Fatalf("seed %d: not whole %v after the last flap: %s", s.Seed, flapWhole, w.unrest())
		}
	}
	r.whole = w.now - healed
	w.Calm()
	return r
}

func own(node, k int) string { return fmt.Sprintf("own-%d-%d", node, k) }

// everywhere reports whether each node shows each standing claim.
func everywhere(w *World) bool {
	for _, holder := range w.nodes {
		for name, r := range holder.cores[0].own {
			for _, n := range w.nodes {
				if !same(n.cores[0].Lookup(name), r) {
					return false
				}
			}
		}
	}
	return true
}

// TestFlapping lets links flap for a simulated minute (F2 of docs/architecture.md). Queues stay
// bounded, each flap costs a bounded number of messages, no node is hidden by another's message,
// and all nodes see each other soon after.
func TestFlapping(t *testing.T) {
	seeds, length := 2, flapTime
	if testing.Short() {
		seeds, length = 1, flapTime/3
	}
	for _, indirect := range []bool{false, true} {
		if indirect && testing.Short() {
			break
		}
		for seed := range seeds {
			s := flapSetup(uint64(seed+1), indirect)
			quiet, loud := flap(t, s, length, false), flap(t, s, length, true)
			each := float64(loud.sent-quiet.sent) / float64(loud.flaps)
			t.Logf("seed %d, through others %v: %d flaps of a link; messages %d against %d without flaps, "+
				"%.1f per flap %v; waiting at most %d, under way at most %d; whole %v after the last",
				s.Seed, indirect, loud.flaps, loud.sent, quiet.sent, each, loud.byKind[1:], loud.pending,
				loud.flying, loud.whole)
			if each > flapMessages {
				t.Errorf("%.1f messages per flap, at most %d allowed", each, flapMessages)
			}
			if loud.pending > flapPending {
				t.Errorf("%d names waited on a node, at most %d allowed", loud.pending, flapPending)
			}
			if loud.flying > flapFlying {
				t.Errorf("%d messages were under way, at most %d allowed", loud.flying, flapFlying)
			}
		}
	}
}
