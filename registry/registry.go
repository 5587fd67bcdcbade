package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/internal/wallclock"
	"github.com/snowfence/snowfence/partition"
	"github.com/snowfence/snowfence/registry/internal/feed"
	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/mesh"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Registry is one node of the cluster. It holds the claims of all nodes. Its methods may be
// called at the same time.
type Registry struct {
	cfg         Config
	log         *slog.Logger
	wall        func() int64
	started     time.Time
	incarnation uint64
	clock       *hlc.Clock
	net         network
	hub         feed.Hub[Event]
	places      partition.Map
	parts       []*part
	groups      groups
	alarm       *alarm
	comparison  comparison
	wakeUps     atomic.Uint64 // of all its goroutines, for a test
	peers       peers
	rejected    atomic.Uint64
	conflicts   conflictLog

	life    context.Context // ends when the registry closes
	die     context.CancelCauseFunc
	running sync.WaitGroup // the goroutines of the partitions and of the alarm
	endings sync.WaitGroup // callbacks of registrations that may still run
	closing chan struct{}  // closed when no more registrations are accepted

	mu     sync.Mutex // guards left; serialises Leave and Close
	left   bool
	closed bool
	err    error // of Close
}

// Open starts a node: it listens, joins the cluster if there are Seeds, and waits until it has the
// claims that the others have, at most for [Config].SyncTimeout. ctx bounds Open alone, not the
// registry's life, which ends with [Registry.Close]. A seed that does not answer is detected after
// 3 s, a name service after 5 s at most. If ctx ends first, Open fails, whatever Config.StartAlone
// is.
//
// Open fails with a [*ConfigError] before it does anything; with the cause of ctx; if it can't
// listen on the address; or with a [*JoinError], for one of two reasons:
//
//   - No node answers at the seeds, not even this one, and Config.StartAlone is not set:
//     [ErrNoAddress], [ErrUnreachable] or [ErrNoAnswer] for each.
//   - A node that answers refuses this one, even if others accept it: a [*KeyError] if the keys
//     don't match, a [*MismatchError] if its cluster or configuration differs, a
//     [*DuplicateNameError] if another node has this node's name, a [*ForeignError] if it is not a
//     node of this module. So a wrongly configured node never starts a cluster of its own, in which
//     it could register names that others hold.
//
// errors.As and errors.Is find them within the JoinError.
func Open(ctx context.Context, c Config) (*Registry, error) {
	return open(ctx, c, listen)
}

// open is Open over the network that connect returns.
func open(
	ctx context.Context, c Config, connect func(*Registry) (network, error),
) (*Registry, error) {
	c = c.withDefaults()
	err := c.validate()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		if c.Transport != nil {
			err = errors.Join(err, c.Transport.Shutdown())
		}
		return nil, err
	}
	places, err := partition.New(c.Partitions)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	r := &Registry{
		cfg: c, log: c.Logger.With("node", c.NodeName), places: places,
		wall:    wallclock.From(ctx),
		started: time.Now(),
		clock:   hlc.New(c.MaxClockSkew),
		closing: make(chan struct{}),
		alarm:   newAlarm(2 * c.Partitions),
	}
	r.comparison.questions = make(chan question, maxQuestions)
	r.hub.Ended = ErrClosed
	r.hub.Missed = func(n uint64) Event { return Event{Kind: Missed, Missed: n} }
	r.incarnation = uint64(r.wall()) //nolint:gosec // positive until 2262
	r.life, r.die = context.WithCancelCause(context.Background())
	for n := range c.Partitions {
		r.parts = append(r.parts, newPart(r, n, rand.Uint64()))
	}
	if r.net, err = connect(r); err != nil {
		r.die(ErrClosed)
		return nil, err
	}
	r.run(r.parts)
	r.runGroups()
	r.running.Go(r.keepTime)
	if err := r.joinSeeds(ctx); err != nil {
		return nil, errors.Join(err, r.abandon(ctx))
	}
	if c.openToStrangers() {
		r.log.Warn("this node is open to strangers: no Keys are set, so a program that reaches its "+
			"port can speak for any node", "addr", r.Addr())
	}
	r.log.Info("registry is open", "addr", r.Addr(), "cluster", c.Cluster, "partitions", c.Partitions,
		"resolver", c.Resolver.Name())
	return r, nil
}

// run starts the goroutines of partitions.
func (r *Registry) run(parts []*part) {
	for _, p := range parts {
		r.running.Go(p.run)
	}
}

// joinSeeds joins the seeds of the configuration.
func (r *Registry) joinSeeds(ctx context.Context) error {
	if len(r.cfg.Seeds) == 0 {
		return nil
	}
	answered, err := r.Join(ctx, r.cfg.Seeds...)
	var j *JoinError
	silent := errors.As(err, &j) && ctx.Err() == nil && !mesh.Refused(err)
	mayStart := r.cfg.StartAlone || errors.Is(err, mesh.ErrSelf)
	if err == nil && answered == 0 || silent && mayStart {
		why := []any{"seeds", r.cfg.Seeds}
		if silent {
			why = append(why, "error", err)
		}
		r.log.Warn("no other node answers at the seeds: this node starts alone, and goes on looking",
			why...)
		return nil
	}
	if silent {
		j.startAlone = true
	}
	return err
}

// abandonTimeout bounds the Leave of a node that could not be opened.
const abandonTimeout = 3 * time.Second

// abandon closes a registry that could not be opened. It leaves first if nodes have accepted it.
func (r *Registry) abandon(ctx context.Context) error {
	if len(r.Members()) > 1 {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
		defer cancel()
		if err := r.Leave(limited); err != nil {
			r.log.Info("not all members know that this node could not be opened", "error", err)
		}
	}
	return r.Close()
}

// NodeName returns the name of this node: [Config].NodeName, or its default.
func (r *Registry) NodeName() string { return r.cfg.NodeName }

// Addr returns the address, host:port, that other nodes put into their Seeds.
func (r *Registry) Addr() string { return r.net.Addr() }

// Join joins the cluster at the seeds, given as in [Config].Seeds; two clusters that are joined
// become one. It returns how many addresses answered, and waits as [Open] does until this node has
// the claims that the others have. It fails with a [*JoinError] if none answered, or if one refuses
// this node although others answered; with the cause of ctx if that ends during the wait; and with
// [ErrClosed], also if the registry closes or leaves meanwhile. This node itself does not count: to
// have no other seed is no error.
//
// The latest 256 seeds that did not refuse this node are remembered, whether they answered or not,
// and looked up again with those of the configuration.
func (r *Registry) Join(ctx context.Context, seeds ...string) (int, error) {
	if err := r.gone(); err != nil {
		return 0, err
	}
	if len(seeds) == 0 {
		return 0, nil
	}
	answered, err := r.net.Join(ctx, seeds...)
	switch {
	case answered == 0 && r.gone() != nil:
		return 0, ErrClosed
	case ctx.Err() != nil && answered == 0:
		return 0, &JoinError{Seeds: slices.Clone(seeds), Err: errors.Join(context.Cause(ctx), err)}
	case answered == 0 && err == nil: // no seed but this node itself
		return 0, nil
	case answered == 0:
		return 0, &JoinError{Seeds: slices.Clone(seeds), Err: err}
	case err != nil: // some refuse this node
		return answered, &JoinError{Seeds: slices.Clone(seeds), Answered: answered, Err: err}
	}
	return answered, r.awaitSync(ctx, slices.Concat(r.parts, r.groups.awake()))
}

var errSyncTimeout = errors.New("registry: not in sync yet")

// awaitSync waits until partitions have caught up with the nodes that are up by now. A time-out is
// no error.
func (r *Registry) awaitSync(ctx context.Context, parts []*part) error {
	limited, cancel := context.WithTimeoutCause(ctx, r.cfg.SyncTimeout, errSyncTimeout)
	defer cancel()
	waits := make([]chan struct{}, len(parts))
	for i, p := range parts {
		waits[i] = make(chan struct{})
		p.inbox.whenSynced(waits[i])
	}
	for i, synced := range waits {
		select {
		case <-synced:
		case <-r.closing:
			return ErrClosed
		case <-limited.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			r.log.Warn("not in sync yet; the rest comes in the background", "partition", parts[i].n,
				"waited", r.cfg.SyncTimeout)
			return nil
		}
	}
	return nil
}

// Leave ends the registrations of this node, their contexts with [ErrClosed], and notifies the
// other nodes, which drop its claims. It waits until they have confirmed that, or ctx ends, some
// seconds at most. If some have not, it fails; there is nothing to repeat, and those detect the end
// of this node as after [Registry.Close] alone. Afterwards this node accepts no registrations;
// Lookup still answers, ever more outdated, until Close. Leave returns ErrClosed after Close.
func (r *Registry) Leave(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if r.left {
		return nil
	}
	r.left = true
	r.retire()
	r.log.Info("leaving the cluster")
	return r.net.Leave(ctx)
}

// Close stops the node: it ends its registrations, their contexts with [ErrClosed], and all of its
// goroutines. It does not notify the other nodes; without a [Registry.Leave] before, they take some
// seconds to detect that this one is down, and show its names until then. Close does not wait for
// the network. It may be called more than once.
func (r *Registry) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.err
	}
	r.closed = true
	if !r.left {
		r.retire()
	}
	r.die(ErrClosed)
	r.running.Wait()
	r.endings.Wait()
	if err := r.net.Close(); err != nil {
		r.err = fmt.Errorf("registry: closing: %w", err)
	}
	r.hub.Close()
	r.closeGroups()
	return r.err
}

// retire ends all registrations and accepts no more.
func (r *Registry) retire() {
	close(r.closing)
	for _, p := range r.parts {
		p.mu.Lock()
		p.closed = true
		at := r.now()
		var ended []ending
		for _, g := range p.regs {
			ended = append(ended, p.withdraw(at, g, replica.WhyClosed, ErrClosed))
		}
		e := p.takeEffects()
		e.ended = append(e.ended, ended...)
		p.mu.Unlock()
		p.act(e)
	}
	r.retireGroups()
}

// gone returns ErrClosed after Leave or Close, and nil before.
func (r *Registry) gone() error {
	select {
	case <-r.closing:
		return ErrClosed
	default:
		return nil
	}
}

// part returns the partition of a name of the first space.
func (r *Registry) part(name string) *part { return r.parts[r.places.Of(name)] }

// partAt returns the partition with a number on the wire, nil if there is none. Numbers of the
// second space, which follow those of the first, wake it.
func (r *Registry) partAt(n int) *part {
	switch {
	case n < 0 || n >= 2*len(r.parts):
		return nil
	case n < len(r.parts):
		return r.parts[n]
	}
	parts, err := r.wakeGroups()
	if err != nil {
		return nil
	}
	return parts[n-len(r.parts)]
}

// spaceAt returns the partitions of a space (0: names, 1: groups), none if it sleeps.
func (r *Registry) spaceAt(n int) []*part {
	if n == 0 {
		return r.parts
	}
	return r.groups.awake()
}

// now returns this moment by the wall clock and by one that never steps.
func (r *Registry) now() replica.At {
	return replica.At{Wall: r.wall(), Mono: time.Since(r.started)}
}
