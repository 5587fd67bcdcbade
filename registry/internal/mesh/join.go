package mesh

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Bounds of the attempts under way at a time.
const (
	maxJoins     = 16 // addresses that are tried
	maxExchanges = 4  // exchanges of memberships: one with a cluster is mostly enough
)

// Join asks the nodes at the seeds to accept this one. A seed is host:port, where a name stands for
// all its addresses, or dnssrv+name, which stands for the targets of the name's SRV records. It
// blocks until all have answered or failed, some seconds at the most, or until the context ends.
// Attempts under way then may still succeed.
//
// It returns how many addresses answered. This node itself does not count: a node whose only seed
// is itself is its cluster's first, and that is no error. If none answered, the error holds a
// [*SeedError] for each address; those of the node itself wrap [ErrSelf]. If some did, it holds
// only those for which [Refused] holds. A node that is refused has merged nothing with the cluster
// that refused it, and is unknown there.
//
// Seeds are remembered as they were given, unless they refused this node, and looked up again for
// as long as the mesh is open. A malformed seed is a [*SeedError] before any is tried.
func (m *Mesh) Join(ctx context.Context, seeds ...string) (answered int, err error) {
	var list []seed
	for _, text := range seeds {
		s, err := parseSeed(text)
		if err != nil {
			return 0, &SeedError{Seed: text, Err: fmt.Errorf("want %s: %w", SeedForms, err)}
		}
		list = append(list, s)
	}
	targets, errs := m.lookUpAll(ctx, list)
	outcomes, err := m.meetAll(ctx, targets)
	if err != nil {
		return 0, err
	}
	refused := make(map[string]bool) // seeds
	var loud []error
	alone := len(errs) == 0
	for i, t := range targets {
		switch err := outcomes[i]; {
		case err == nil:
			answered++
		case Refused(err):
			refused[t.seed.text] = true
			loud = append(loud, &SeedError{Seed: t.seed.text, Addr: t.addr, Err: err})
			fallthrough
		default:
			alone = alone && errors.Is(err, ErrSelf)
			errs = append(errs, &SeedError{Seed: t.seed.text, Addr: t.addr, Err: err})
		}
	}
	for _, s := range list {
		if !refused[s.text] {
			m.rejoin.addSeed(s)
		}
	}
	switch {
	case answered == 0 && alone:
		return 0, nil
	case answered == 0:
		return 0, errors.Join(errs...)
	}
	for _, e := range errs {
		if !errors.Is(e, ErrSelf) && !Refused(e) {
			m.log.Info("seed failed, others answered", "err", e)
		}
	}
	return answered, errors.Join(loud...)
}

// A target is an address, and the seed that stands for it.
type target struct {
	seed seed
	addr string
}

// lookUpAll returns the addresses that seeds stand for, each once, and the errors of the lookups.
func (m *Mesh) lookUpAll(ctx context.Context, seeds []seed) (targets []target, errs []error) {
	found := make([][]string, len(seeds))
	failed := make([]error, len(seeds))
	each(len(seeds), func(i int) { found[i], failed[i] = seeds[i].lookUp(ctx, m.cfg.Names) })
	seen := make(map[string]struct{})
	for i, s := range seeds {
		if failed[i] != nil {
			errs = append(errs, &SeedError{Seed: s.text, Err: failed[i]})
		}
		for _, addr := range found[i] {
			if _, ok := seen[addr]; !ok {
				seen[addr] = struct{}{}
				targets = append(targets, target{s, addr})
			}
		}
	}
	return targets, errs
}

// meetAll meets the nodes at the targets, and returns the outcome of each attempt: nil if the node
// answered. The error is ErrClosed.
func (m *Mesh) meetAll(ctx context.Context, targets []target) ([]error, error) {
	before := m.members.incarnations()
	metMeanwhile := func(who greeting) bool {
		return m.isMember(who) && before[who.name] != who.incarnation
	}
	type result struct {
		i   int
		err error
	}
	results := make(chan result, len(targets))
	slots := make(chan struct{}, maxJoins)
	for i, t := range targets {
		ok := m.spawn(func() {
			select {
			case slots <- struct{}{}:
				_, err := m.meet(t.addr, metMeanwhile)
				results <- result{i, err}
				<-slots
			case <-ctx.Done(): // the caller has left
			case <-m.ctx.Done():
			}
		})
		if !ok {
			return nil, ErrClosed
		}
	}
	outcomes := make([]error, len(targets))
	for i := range outcomes {
		outcomes[i] = errPending
	}
	for range targets {
		var err error
		select {
		case r := <-results:
			outcomes[r.i] = r.err
			continue
		case <-ctx.Done():
			err = fmt.Errorf("no answer in time: %w", context.Cause(ctx))
		case <-m.ctx.Done():
			err = ErrClosed
		}
		for i := range outcomes {
			if errors.Is(outcomes[i], errPending) {
				outcomes[i] = err
			}
		}
		break
	}
	return outcomes, nil
}

var errPending = errors.New("mesh: no outcome yet")

// isMember reports whether a node is a member in this run.
func (m *Mesh) isMember(who greeting) bool {
	incarnation, ok := m.members.incarnation(who.name)
	return ok && incarnation == who.incarnation
}

// meet says hello at an address and exchanges memberships with the node that answers, unless enough
// returns true for it. It returns that node's greeting. The error is [ErrUnreachable],
// [ErrNoAnswer], [ErrSelf], [ErrClosed], or one for which [Refused] is true. It blocks for a few
// times ioTimeout at the most.
func (m *Mesh) meet(addr string, enough func(greeting) bool) (greeting, error) {
	mark := m.refusals.mark()
	c, who, err := m.transport.hello(addr)
	switch {
	case m.ctx.Err() != nil && err != nil:
		return greeting{}, ErrClosed
	case err != nil:
		return greeting{}, err
	}
	hangUp := func(err error) (greeting, error) {
		_ = c.Close() // its error changes nothing
		return who, err
	}
	if who.instance == m.instance {
		return hangUp(ErrSelf)
	}
	select {
	case m.exchanges <- struct{}{}:
		defer func() { <-m.exchanges }()
	case <-m.ctx.Done():
		return hangUp(ErrClosed)
	}
	if enough(who) {
		return hangUp(nil)
	}
	return who, m.exchange(c, who, addr, mark)
}

// exchange exchanges memberships over a connection on which the other side has said hello, and
// closes it. Refusals after mark belong to this attempt.
func (m *Mesh) exchange(c *conn, who greeting, addr string, mark uint64) error {
	token := "join-" + strconv.FormatUint(m.tokens.Add(1), 10)
	a := m.transport.watch(token, c)
	defer m.transport.unwatch(token)
	// Memberlist passes what is before the slash, as the node's name, to the transport.
	_, err := m.list.Join([]string{token + "/" + addr})
	if !a.taken.Load() {
		_ = c.Close() // memberlist did not ask for it
	}
	switch {
	case err == nil:
		return nil
	case m.ctx.Err() != nil:
		return ErrClosed
	}
	// Memberlist returns only the texts of errors: the reason is in refusals, or in the connection.
	m.log.Debug("no exchange of memberships", "addr", addr, "member", who.name, "err", err)
	if refused := m.refusals.since(mark, who.name); refused != nil {
		return refused
	}
	if c.failed.Load() {
		return ErrNoAnswer
	}
	return &ForeignError{Err: errExchange}
}

// errExchange is within a [*ForeignError].
var errExchange = errors.New("or it is of another release: its list of members can't be read")
