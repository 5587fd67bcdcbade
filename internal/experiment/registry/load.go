package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/registry"
)

const (
	// opTimeout bounds one operation. A registry that does not come to an answer says why before.
	opTimeout = 2 * registry.DefaultSyncTimeout
	// mostAtOnce bounds the operations under way. More are shed and counted.
	mostAtOnce = 4096
	// atOnceInSetup bounds the registrations under way before the start.
	atOnceInSetup = 64
)

// A tally counts operations.
type tally struct {
	mu sync.Mutex // guards Operations while there are any
	Operations
}

// count counts an operation as one of those that n counts. If it failed, err says why.
func (t *tally) count(n *uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*n++
	if err != nil && t.Failure == "" {
		t.Failure = err.Error()
	}
}

// fill registers the names that are there from the start.
func (r *run) fill(ctx context.Context) {
	rng := r.random(streamSetup)
	var group errgroup.Group
	group.SetLimit(atOnceInSetup)
	for range r.p.Names {
		if ctx.Err() != nil {
			break
		}
		m := r.anyNode(rng)
		n, c := m.get(), r.ledger.open(r.freshName(), m.index, false, min(r.Now(), -1))
		group.Go(func() error { r.register(ctx, c, n); return nil })
	}
	_ = group.Wait()
}

// generate makes changes at their intended times. If it is late it makes all that are due.
func (r *run) generate(ctx context.Context) {
	rate := r.p.Rate
	if rate == 0 {
		return
	}
	rng := r.random(streamLoad)
	for intended := range r.Open(ctx, rate, 0, r.p.Duration) {
		if rng.Float64() < r.p.Churn {
			if c := r.ledger.take(rng.Uint64(), r.Now()); c != nil {
				if !r.begin(func() { r.release(ctx, c) }) {
					r.ledger.keep(c, r.Now())
				}
				continue
			}
		}
		m := r.anyNode(rng)
		n := m.get()
		// Names come back as well: a name that was released can be taken again, on any node.
		name := ""
		if rng.Float64() < reuseShare {
			name = r.ledger.reuse(r.Now() - reuseAfter)
		}
		if name == "" {
			name = r.freshName()
		}
		c := r.ledger.open(name, m.index, false, intended)
		r.beginRegister(ctx, c, n)
	}
}

const (
	// reuseShare is the part of the registrations that take a name that was released, if there is one.
	reuseShare = 0.5
	// reuseAfter is how long such a name rests. Before that, most other nodes would refuse it, since
	// they do not know yet that it is free.
	reuseAfter = 500 * time.Millisecond
)

// contest makes two nodes at a time claim the same name, spread over the window. In a split they
// are of both sides.
func (r *run) contest(ctx context.Context) {
	n := r.p.Contested
	rng := r.random(streamContest)
	length := r.p.End - r.p.Start
	for i := range n {
		intended := r.p.Start + time.Duration((float64(i)+0.5)/float64(n)*float64(length))
		if r.Until(ctx, intended) != nil {
			return
		}
		a, b := r.rivals(rng)
		if b == nil {
			continue // all but one are down
		}
		name := fmt.Sprintf("both-%06d", i+1)
		// Both before either, so that the name has an entry with both claims on their way.
		first := r.ledger.open(name, a.index, true, intended)
		second := r.ledger.open(name, b.index, true, intended)
		r.beginRegister(ctx, first, a.get())
		r.beginRegister(ctx, second, b.get())
	}
}

// rivals picks two nodes that run, from both sides of a split. b is nil if there are no two.
func (r *run) rivals(rng *rand.Rand) (a, b *member) {
	up := r.cluster.up()
	var others []*member
	if r.p.Disturb == lab.Split {
		others = slices.DeleteFunc(slices.Clone(up), func(m *member) bool { return !r.isVictim(m.index) })
		up = slices.DeleteFunc(up, func(m *member) bool { return r.isVictim(m.index) })
	}
	first, second := rng.Uint64(), rng.Uint64()
	if r.p.Disturb != lab.Split && len(up) > 0 {
		i := first % uint64(len(up))
		others = slices.Concat(up[i+1:], up[:i])
	}
	if len(up) == 0 || len(others) == 0 {
		return nil, nil
	}
	return up[first%uint64(len(up))], others[second%uint64(len(others))]
}

// anyNode picks a member that runs; there always is one.
func (r *run) anyNode(rng *rand.Rand) (m *member) {
	from := rng.IntN(r.p.Nodes)
	for i := range r.p.Nodes {
		if m = r.cluster.members[(from+i)%r.p.Nodes]; m.get() != nil {
			break
		}
	}
	return m
}

func (r *run) freshName() string {
	r.names++
	return fmt.Sprintf("name-%07d", r.names)
}

// begin starts an operation, unless too many are under way.
func (r *run) begin(op func()) bool {
	begun := r.ops.TryGo(func() error { op(); return nil })
	if !begun {
		r.tally.count(&r.tally.Shed, nil)
	}
	return begun
}

func (r *run) beginRegister(ctx context.Context, c *claim, n node) {
	if !r.begin(func() { r.register(ctx, c, n) }) {
		r.ledger.settle(c, overloaded, r.Now())
	}
}

// register makes a claim on a node, and settles it in the ledger whatever comes of it.
func (r *run) register(ctx context.Context, c *claim, n node) {
	m := r.cluster.members[c.node]
	if n == nil || m.get() != n {
		r.ledger.settle(c, died, r.Now())
		return
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), opTimeout)
	defer cancel()
	a, err := n.do(limited, request{Op: opRegister, Name: c.name, Claim: c.id})
	if err != nil {
		a.State, err = failed, fmt.Errorf("register %s on %s: %w", c.name, m.name, err)
	}
	if a.State == alive {
		r.ledger.registered(c, a.Time, r.Now())
	}
	if m.get() != n {
		// Killed meanwhile: whatever it answered, the claim died with it.
		r.ledger.settle(c, died, r.Now())
		return
	}
	if a.State != alive {
		r.ledger.settle(c, a.State, r.Now())
	}
	r.tally.count(map[claimState]*uint64{alive: &r.tally.Registered, refused: &r.tally.Taken,
		overloaded: &r.tally.Overloaded, failed: &r.tally.Failed}[a.State], err)
}

// release gives up a claim that the ledger has taken out already.
func (r *run) release(ctx context.Context, c *claim) {
	m := r.cluster.members[c.node]
	n := m.get()
	if n == nil {
		return // it died with its node, which came first
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), opTimeout)
	defer cancel()
	_, err := n.do(limited, request{Op: opRelease, Claim: c.id})
	if err != nil && m.get() == n {
		r.tally.count(&r.tally.Failed, fmt.Errorf("release %s on %s: %w", c.name, m.name, err))
		return
	}
	r.tally.count(&r.tally.Released, nil)
	r.ledger.freed(c, r.Now())
}
