package clusterload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/snowfence/snowfence/registry"
)

const (
	// opTimeout bounds one operation. A registry that does not come to an answer says why before.
	opTimeout = 2 * registry.DefaultSyncTimeout
	// mostAtOnce bounds the operations under way; what comes on top is shed and counted.
	mostAtOnce = 4096
	// atOnceInSetup is how many registrations are under way while the names are put in that are there
	// from the start.
	atOnceInSetup = 64
)

// Streams of random numbers, so that one does not depend on how much of another was used.
const (
	streamLoad uint64 = iota + 1
	streamContest
	streamDisturb
	streamSetup
)

func (r *run) random(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(r.scenario.Seed, stream)) //nolint:gosec // not for secrets
}

// tally counts operations by their end.
type tally struct {
	mu         sync.Mutex // guards all below
	registered uint64
	released   uint64
	taken      uint64
	overloaded uint64
	shed       uint64
	failed     uint64
	first      error // of those that failed
	under      int   // operations under way
}

// restart forgets what went well until now.
func (t *tally) restart() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.registered, t.taken = 0, 0
}

// fill registers the names that are there from the start.
func (r *run) fill(ctx context.Context) {
	rng := r.random(streamSetup)
	slots := make(chan struct{}, atOnceInSetup)
	for range r.scenario.Registry.Names {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		m, life := r.anyNode(rng)
		c := r.ledger.open(r.freshName(), m.index, false, min(r.Now(), -1))
		r.ops.Go(func() {
			defer func() { <-slots }()
			r.register(ctx, c, m, life)
		})
	}
	for range atOnceInSetup {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// generate makes changes at their intended times. If it was late it makes all that are due.
func (r *run) generate(ctx context.Context) {
	rate := r.scenario.Registry.Rate
	if rate == 0 {
		return
	}
	rng := r.random(streamLoad)
	for intended := range r.Open(ctx, rate, 0, r.line.Stop) {
		if rng.Float64() < r.scenario.Registry.Churn {
			if c := r.ledger.take(rng.Uint64(), r.Now()); c != nil {
				if !r.begin(func() { r.release(ctx, c) }) {
					r.ledger.keep(c, r.Now())
				}
				continue
			}
		}
		m, life := r.anyNode(rng)
		// Names come back as well: a name that was released can be taken again, on any node.
		name := ""
		if rng.Float64() < reuseShare {
			name = r.ledger.reuse(r.Now() - reuseAfter)
		}
		if name == "" {
			name = r.freshName()
		}
		c := r.ledger.open(name, m.index, false, intended)
		if !r.begin(func() { r.register(ctx, c, m, life) }) {
			r.ledger.refused(c, overloaded, r.Now())
		}
	}
}

const (
	// reuseShare is the part of the registrations that take a name which was released before, as long
	// as there is one.
	reuseShare = 0.5
	// reuseAfter is how long such a name is left alone: another node would most likely refuse it, not
	// having heard yet that it is free.
	reuseAfter = 500 * time.Millisecond
)

// contest has two nodes at a time claim the same name, spread over the window. In a split they are
// of both sides.
func (r *run) contest(ctx context.Context) {
	n := r.scenario.Registry.Contested
	rng := r.random(streamContest)
	length := r.line.End - r.line.Start
	for i := range n {
		intended := r.line.Start + time.Duration((float64(i)+0.5)/float64(n)*float64(length))
		if r.Until(ctx, intended) != nil {
			return
		}
		a, b := r.rivals(rng)
		if b == nil {
			continue // all but one are down
		}
		name := fmt.Sprintf("both-%06d", i+1)
		// Both before either, so that the name has an entry with both claims on their way.
		both := []*member{a, b}
		claims := make([]*claim, 2)
		for i, m := range both {
			claims[i] = r.ledger.open(name, m.index, true, intended)
		}
		for i, m := range both {
			_, life := m.get()
			if !r.begin(func() { r.register(ctx, claims[i], m, life) }) {
				r.ledger.refused(claims[i], overloaded, r.Now())
			}
		}
	}
}

// rivals picks two nodes that run, from both sides of a split. b is nil if there are no two.
func (r *run) rivals(rng *rand.Rand) (a, b *member) {
	var sides [2][]*member
	for _, m := range r.cluster.members {
		if n, _ := m.get(); n != nil {
			side := 0
			if r.isSplit() && r.isStruck(m.index) {
				side = 1
			}
			sides[side] = append(sides[side], m)
		}
	}
	first, second := rng.Uint64(), rng.Uint64()
	if r.isSplit() {
		if len(sides[0]) == 0 || len(sides[1]) == 0 {
			return nil, nil
		}
		return sides[0][first%uint64(len(sides[0]))], sides[1][second%uint64(len(sides[1]))]
	}
	up := sides[0]
	if len(up) < 2 {
		return nil, nil
	}
	i := first % uint64(len(up))
	j := (i + 1 + second%uint64(len(up)-1)) % uint64(len(up))
	return up[i], up[j]
}

// anyNode picks a node that runs.
func (r *run) anyNode(rng *rand.Rand) (*member, int) {
	from := rng.IntN(len(r.cluster.members))
	for i := range r.cluster.members {
		m := r.cluster.members[(from+i)%len(r.cluster.members)]
		if n, life := m.get(); n != nil {
			return m, life
		}
	}
	m := r.cluster.members[from] // none runs, which a scenario can't ask for
	_, life := m.get()
	return m, life
}

func (r *run) freshName() string {
	r.names++
	return fmt.Sprintf("name-%07d", r.names)
}

// begin starts an operation, unless too many are under way.
func (r *run) begin(op func()) bool {
	t := &r.tally
	t.mu.Lock()
	if t.under >= mostAtOnce {
		t.shed++
		t.mu.Unlock()
		return false
	}
	t.under++
	t.mu.Unlock()
	r.ops.Go(func() {
		op()
		t.mu.Lock()
		t.under--
		t.mu.Unlock()
	})
	return true
}

// register makes a claim, and settles it in the ledger whatever comes of it.
func (r *run) register(ctx context.Context, c *claim, m *member, life int) {
	n, now := m.get()
	if n == nil || now != life {
		r.ledger.settle(c, died, r.Now())
		return
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), opTimeout)
	defer cancel()
	at, err := n.Register(limited, c.name, c.id)
	if err == nil {
		r.ledger.registered(c, at, r.Now())
	}
	if _, now := m.get(); now != life {
		// Killed meanwhile: whatever it answered, the claim died with it.
		r.ledger.settle(c, died, r.Now())
		return
	}
	switch {
	case err == nil:
		r.count(&r.tally.registered, nil)
	case errors.Is(err, errTaken):
		r.ledger.refused(c, refused, r.Now())
		r.count(&r.tally.taken, nil)
	case errors.Is(err, errOverloaded):
		r.ledger.refused(c, overloaded, r.Now())
		r.count(&r.tally.overloaded, nil)
	default:
		r.ledger.refused(c, failed, r.Now())
		r.count(&r.tally.failed, fmt.Errorf("register %s on %s: %w", c.name, m.name, err))
	}
}

// release gives up a claim that the ledger has taken out already.
func (r *run) release(ctx context.Context, c *claim) {
	m := r.cluster.members[c.node]
	n, life := m.get()
	if n == nil {
		return // it died with its node, which came first
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), opTimeout)
	defer cancel()
	err := n.Release(limited, c.id)
	if _, now := m.get(); err != nil && now == life {
		r.count(&r.tally.failed, fmt.Errorf("release %s on %s: %w", c.name, m.name, err))
		return
	}
	r.count(&r.tally.released, nil)
	r.ledger.freed(c, r.Now())
}

func (r *run) count(what *uint64, err error) {
	r.tally.mu.Lock()
	defer r.tally.mu.Unlock()
	*what++
	if r.tally.first == nil {
		r.tally.first = err
	}
}
