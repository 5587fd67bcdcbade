package clustertest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
)

var flapSeed = flag.Uint64("flapseed", 0,
	"the seed of the flapping links and of the load on them; 0: any")

func seeded(tb testing.TB) (seed uint64) {
	tb.Helper()
	if seed = *flapSeed; seed == 0 {
		seed = rand.Uint64()
	}
	tb.Logf("seed %d; again: -flapseed=%d", seed, seed)
	return seed
}

const (
	flapNodes = 16
	flapShare = 0.3 // of links that are down at any time
	flapEvery = 200 * time.Millisecond
	flapQueue = 256 // names per partition that may wait

	// wholeWithin is the time within which the cluster must be whole once the links no longer flap.
	// A suspicion that began at the last moment, and whose refutation was lost, ends with a dead
	// node 4.8 s later. A node that lost others searches for one of them every five seconds, give
	// or take a quarter; that may take three rounds. Missed changes are found by the probe of a
	// random peer every two seconds. That makes 25 s; the rest is for busy machines.
	wholeWithin = 50 * time.Second

	// repairsPerChange bounds the repair messages (vectors, pulls, chunks) in the whole cluster for
	// each link that goes down or comes up. It is three times the largest of the measured values,
	// 0.3 to 1.9. See TestFlappingCluster for the causes of repairs.
	repairsPerChange = 6
)

// traffic is the total of what all nodes have sent.
type traffic struct {
	updates, summaries, repairs, frames uint64
}

func sent(nodes []*node) (sum traffic) {
	for _, n := range nodes {
		s := n.stats()
		for i := range s.Partitions {
			p := &s.Partitions[i]
			sum.updates += p.Sent.Updates
			sum.summaries += p.Sent.Summaries
			sum.repairs += p.Sent.Vectors + p.Sent.Pulls + p.Sent.Chunks
		}
		sum.frames += s.Network.Gossip.FramesOut + s.Network.Reliable.FramesOut +
			s.Network.Packets.FramesOut
	}
	return sum
}

func (t traffic) less(u traffic) traffic {
	return traffic{t.updates - u.updates, t.summaries - u.summaries, t.repairs - u.repairs,
		t.frames - u.frames}
}

// TestFlappingCluster makes links flap at random while names are registered and released. Broken
// links must not lead to messages that break more links, as in registries with one mailbox. A link
// that is down costs repairs in three ways. A node that was declared dead and came back exchanges a
// vector with each partition of each other node, and pulls what it missed. A lost packet of gossip
// is a gap, which is pulled. And the probes of a random peer, whose number is fixed, are answered
// by vectors if they differ. The latter two depend on the load and the time, not on the number of
// flaps.
//
// It runs alone, because sixteen nodes are all that a small machine can run.
func TestFlappingCluster(t *testing.T) {
	seed := seeded(t)
	r := rand.New(rand.NewPCG(seed, 0))
	cut := cutnet.New(seed)
	c := newCluster(t, over(cut), spec{
		QueueSize: flapQueue,
		Pace:      pace{100 * time.Millisecond, 2 * time.Second, 1500 * time.Millisecond, 2},
	})
	var names []string
	for i := range flapNodes {
		names = append(names, fmt.Sprintf("n%02d", i))
	}
	c.add(names...)
	c.whole("joined")

	calm, flapping := 3*time.Second, 10*time.Second
	if testing.Short() {
		calm, flapping = time.Second, 3*time.Second
	}
	load := work(c, seed)
	before := sent(c.nodes)
	pause(t, calm)
	quiet := sent(c.nodes).less(before)

	before = sent(c.nodes)
	changes := 0
	for start := time.Now(); time.Since(start) < flapping; {
		was := downLinks(cut, names)
		cut.Flap(r, flapShare, names...)
		for i, down := range downLinks(cut, names) {
			if down != was[i] {
				changes++
			}
		}
		pause(t, flapEvery)
	}
	noisy := sent(c.nodes).less(before)
	cut.Heal()
	rested := time.Now()
	load.stop()
	var downs int
	for _, n := range c.nodes {
		for _, x := range names {
			downs += n.tally()["node down "+x+": node down"]
		}
	}
	t.Logf("%d names were registered, %d released while %d links changed; nodes were given up %d "+
		"times, by one node each", load.registered, load.released, changes, downs)

	waitUntil(t, "after the flapping", func() string {
		for _, n := range c.nodes {
			if got := n.members(); len(got) != flapNodes {
				lacks := slices.DeleteFunc(slices.Clone(names),
					func(x string) bool { return slices.Contains(got, x) })
				s := n.stats().Network
				return fmt.Sprintf("%s does not see %v; it looks for %d lost nodes and found %d in %d "+
					"attempts; its health score is %d", n.spec.Name, lacks, s.Lost, s.Rejoined, s.RejoinAttempts,
					s.HealthScore)
			}
		}
		c.want = map[string]string{}
		for _, n := range c.nodes {
			for name := range n.held() {
				if other, twice := c.want[name]; twice {
					return fmt.Sprintf("%q is held on %s and on %s", name, other, n.spec.Name)
				}
				c.want[name] = n.spec.Name
			}
		}
		return disagreement(c.nodes, c.want)
	})
	took := time.Since(rested)
	t.Logf("whole again after %v (bound %v), with %d names", took.Round(time.Millisecond), wholeWithin,
		len(c.want))
	require.Less(t, took, wholeWithin)
	c.agreed()

	per := func(n uint64, d time.Duration) float64 { return float64(n) / d.Seconds() }
	t.Logf("sent per second by all, links calm:     updates %.0f, probes %.0f, repairs %.0f, frames "+
		"%.0f",
		per(quiet.updates, calm), per(quiet.summaries, calm), per(quiet.repairs, calm),
		per(quiet.frames, calm))
	t.Logf("sent per second by all, links flapping: updates %.0f, probes %.0f, repairs %.0f, frames "+
		"%.0f",
		per(noisy.updates, flapping), per(noisy.summaries, flapping), per(noisy.repairs, flapping),
		per(noisy.frames, flapping))
	ratio := float64(noisy.repairs) / float64(changes)
	t.Logf("repairs per change of a link: %.2f (bound %d); frames %.2f", ratio, repairsPerChange,
		float64(noisy.frames)/float64(changes))
	require.Less(t, ratio, float64(repairsPerChange))

	var queue, inbox, broadcasts, peers int
	for _, n := range c.nodes {
		s := n.stats()
		for i := range s.Partitions {
			p := &s.Partitions[i]
			require.LessOrEqual(t, p.QueueHigh, flapQueue, "%s, partition %d", n.spec.Name, i)
			require.Zero(t, p.Queue, "%s, partition %d", n.spec.Name, i)
			queue, inbox = max(queue, p.QueueHigh), max(inbox, p.InboxHigh)
		}
		broadcasts, peers = max(broadcasts, s.Network.BroadcastHigh), max(peers, s.Network.PeerQueueHigh)
	}
	t.Logf("deepest queues: %d names to be sent (bound %d), %d messages in, %d broadcasts, %d bytes "+
		"for one peer", queue, flapQueue, inbox, broadcasts, peers)
	require.LessOrEqual(t, inbox, 2048)
	require.LessOrEqual(t, broadcasts, 512)
	require.LessOrEqual(t, peers, 4<<20)
}

// pause waits for d. Tests must not rely on anything having happened at its end.
func pause(tb testing.TB, d time.Duration) {
	tb.Helper()
	select {
	case <-time.After(d):
	case <-tb.Context().Done():
	}
}

// downLinks returns for each link between two nodes whether it is down.
func downLinks(cut *cutnet.Network, names []string) (list []bool) {
	for i, a := range names {
		for _, b := range names[i+1:] {
			list = append(list, cut.IsCut(a, b))
		}
	}
	return list
}

// A load registers and releases names.
type load struct {
	quit                 chan struct{}
	wg                   sync.WaitGroup
	mu                   sync.Mutex // guards what follows
	registered, released int
}

const (
	loadEvery = 40 * time.Millisecond
	loadNames = 200
)

// work starts a load on all nodes of a cluster: at each step a random node registers a random name
// or, if that is held, makes its holder release it.
func work(c *cluster, seed uint64) *load {
	l := &load{quit: make(chan struct{})}
	nodes := c.nodes
	for worker := range 2 {
		r := rand.New(rand.NewPCG(seed, uint64(worker)+1))
		l.wg.Go(func() {
			step := time.NewTicker(loadEvery)
			defer step.Stop()
			for {
				select {
				case <-l.quit:
					return
				case <-step.C:
				}
				l.step(nodes, nodes[r.IntN(len(nodes))], fmt.Sprintf("name %d", r.IntN(loadNames)))
			}
		})
	}
	return l
}

func (l *load) step(nodes []*node, at *node, name string) {
	op := request{Op: "register", Names: [][]byte{[]byte(name)}}
	seen, err := at.call(&request{Op: "lookup", Names: op.Names})
	if err == nil && len(seen.Claims) > 0 {
		op.Op = "release"
		at = nodes[slices.IndexFunc(nodes,
			func(n *node) bool { return n.spec.Name == seen.Claims[0].Node })]
	}
	done, err := at.call(&op)
	if err != nil || done.Errors[0] != "" {
		return // the name is taken, or its registration was just lost
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if op.Op == "register" {
		l.registered++
	} else {
		l.released++
	}
}

func (l *load) stop() {
	close(l.quit)
	l.wg.Wait()
}

// TestFlappingLink makes the link between two nodes flap. Only those two are affected: no node is
// declared dead, and all changes reach all nodes.
func TestFlappingLink(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	r := rand.New(rand.NewPCG(seed, 0))
	cut := cutnet.New(seed)
	c := newCluster(t, over(cut), spec{Pace: patient()})
	c.add("a", "b", "c", "d", "e")
	c.whole("before")
	quit := make(chan struct{})
	var wg sync.WaitGroup
	changes := 0
	wg.Go(func() {
		for {
			select {
			case <-quit:
				return
			case <-time.After(20*time.Millisecond + time.Duration(r.Int64N(int64(400*time.Millisecond)))):
			}
			changes++
			if changes%2 == 1 {
				cut.Cut("a", "b")
			} else {
				cut.HealLink("a", "b")
			}
		}
	})
	stop := sync.OnceFunc(func() {
		close(quit)
		wg.Wait()
	})
	defer stop()
	beside(c)
	stop()
	t.Logf("the link changed %d times", changes)
	cut.Heal()
	c.whole("after")
	c.agreed()
}
