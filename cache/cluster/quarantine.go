package cluster

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/cache/cluster/internal/quarantine"
	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

const (
	// verdictInterval is how soon a flight that waits for a trial looks at the verdict again, if no
	// record has changed.
	verdictInterval = 50 * time.Millisecond

	// maxAskedTrials bounds the keys that one peer is asked to try at a time. More would wait there
	// for their turn, and hold connections that other keys need.
	maxAskedTrials = 16
)

// errSuspect is the error of a flight whose key must not be loaded in the usual way: see loadOrAsk.
// No caller gets it.
var errSuspect = &hook.Answer{Err: errors.New("cluster: a load of the key may end a node")}

func isSuspect(err error) bool { return err != nil && errors.Is(err, errSuspect.Err) }

func (c *Cache[V]) newBook() *quarantine.Book {
	return quarantine.New(quarantine.Options{
		Self:       quarantine.Incarnation{Node: c.self, ID: c.incarnation},
		Quarantine: c.o.Quarantine, MaxKey: c.o.MaxKey,
		Changed: func(key string, v quarantine.Verdict) {
			if v.State == quarantine.Quarantined {
				c.log.Warn("a key is quarantined: nodes have died while they loaded it",
					"key", peer.QuoteKey(key), "died", v.Deaths,
					"for", time.Until(v.Until).Round(time.Second))
			} else {
				c.log.Info("a key is out of quarantine: it was loaded and the node lives",
					"key", peer.QuoteKey(key))
			}
		},
	})
}

func incarnationOf(a peer.Address) quarantine.Incarnation {
	return quarantine.Incarnation{Node: a.Node, ID: a.Incarnation}
}

// suspects reports whether key must not be loaded in the usual way. It costs one atomic load while
// there are no records.
func (c *Cache[V]) suspects(key string) bool {
	return !c.quarantine.Empty() && c.quarantine.Check(key).State != quarantine.Clear
}

// witness notes what err, of a request for key, says of the death of the node that was asked. It
// reports whether key must not be loaded in the usual way from now on. A refused connection counts
// for a key that was asked for alone. Of a batch it would keep all keys from being loaded at once,
// though at most one is to blame: see announceMany.
func (c *Cache[V]) witness(key string, alone bool, to peer.Address, err error) bool {
	if err == nil {
		return false // before the allocations below
	}
	at := incarnationOf(to)
	var down *peer.UnavailableError
	var suspect *peer.SuspectError
	switch {
	case errors.As(err, &suspect):
		c.mergeRecords(suspect.Record)
		return c.suspects(key)
	case !errors.As(err, &down):
		return false
	case down.Reason == peer.Lost:
		c.quarantine.Lost(key, at)
	case alone && (down.Reason == peer.NotListening ||
		down.Reason == peer.PassedOver && c.quarantine.Dead(at)):
		c.quarantine.Refused(key, at)
	case down.Reason == peer.NotListening:
		c.quarantine.Gone(at, true)
	}
	if !c.suspects(key) {
		return false
	}
	c.wakeExchanges()
	return true
}

// loadSuspect takes the place of loadOrAsk for a key that is not clear. It returns errSuspect if
// the key is clear by now.
//
// The key's trier tries it: this node, or another one that is asked to. If serving, this flight
// serves a node that asks this one to try, so it asks nobody. The flight has no time-out while it
// waits, since trials take turns.
func (c *Cache[V]) loadSuspect(ctx context.Context, key string, serving bool) (v V, err error) {
	var busy time.Time // since when the trier has answered that it is busy
	for {
		courier.RestartTimeout(ctx, math.MaxInt64)
		changed := c.quarantine.Changed()
		verdict := c.quarantine.Check(key)
		own := serving || verdict.Trier == quarantine.Incarnation{Node: c.self, ID: c.incarnation}
		switch {
		case c.closed.Load():
			return v, ErrClosed
		case verdict.State == quarantine.Quarantined:
			// This is no failure of the origin, so the key does not back off.
			return v, &hook.Answer{Err: &QuarantineError{key, verdict.Deaths, verdict.Until}}
		case verdict.State == quarantine.Suspect && own:
			if v, err = c.try(ctx, key); !isSuspect(err) {
				return v, err
			}
		case verdict.State == quarantine.Clear, serving:
			courier.RestartTimeout(ctx, 0)
			return v, errSuspect
		default:
			if v, err = c.askTrier(ctx, verdict.Trier, key, changed, &busy); !isSuspect(err) {
				return v, err
			}
		}
		if err := waitFor(ctx, changed, verdictInterval); err != nil {
			return v, err
		}
	}
}

// tryFor takes the place of loadOrAsk in flights that serve nodes which ask this one to try key.
func (c *Cache[V]) tryFor(ctx context.Context, key string) (V, error) {
	return c.loadSuspect(ctx, key, true)
}

// askTrier asks another node to try key. It returns errSuspect if that node did not deliver, or if
// a record changed while this flight waited to ask. A trier that is busy for PeerTimeout is passed
// over: it may be waiting for a flight of this node, which it takes for the trier.
func (c *Cache[V]) askTrier(
	ctx context.Context, trier quarantine.Incarnation, key string, changed <-chan struct{},
	busy *time.Time,
) (v V, err error) {
	m := c.members.all()[trier.Node]
	if m == nil || incarnationOf(m.address) != trier {
		return v, errSuspect // setMembers is about to tell the book
	}
	select {
	case m.trialTurns <- struct{}{}:
		defer func() { <-m.trialTurns }()
	case <-changed:
		return v, errSuspect
	case <-ctx.Done():
		return v, context.Cause(ctx)
	}
	c.asking.begin(key)
	defer c.asking.end(key)
	q := c.beginAsking(ctx, m.address, 1)
	courier.RestartTimeout(ctx, math.MaxInt64)
	after, record := c.deletes.After(trier.ID, key), c.quarantine.Record(key)
	got, err := c.client.Try(withoutDeadline{ctx}, m.address, key, after, record)
	q.took = time.Since(q.sent)
	r, hint := c.takeAnswer(ctx, q, got, err)
	if hint == "" {
		v, _, err = c.deliver(ctx, r)
		return v, err
	}
	var down *peer.UnavailableError
	var suspect *peer.SuspectError
	switch {
	case errors.As(err, &suspect):
		c.mergeRecords(suspect.Record)
	case !errors.As(err, &down):
	case down.Reason == peer.Busy && busy.IsZero():
		*busy = time.Now()
	case down.Reason == peer.Busy && time.Since(*busy) <= c.o.PeerTimeout:
	case down.Reason == peer.Lost, down.Reason == peer.NotListening:
		c.quarantine.Gone(trier, down.Reason == peer.NotListening)
		c.wakeExchanges()
	default:
		c.quarantine.Down(trier)
		*busy = time.Time{}
	}
	c.log.Debug("the trier of a key did not deliver", "trier", trier.Node, "error", err)
	return v, errSuspect
}

// try loads a key whose load may end this node. It returns errSuspect unless it is this node's
// turn, all other members know of the trial, and none of them has begun one as well.
func (c *Cache[V]) try(ctx context.Context, key string) (v V, err error) {
	seq, ok := c.quarantine.Begin(key)
	if !ok {
		return v, errSuspect
	}
	end := func(cleared bool) {
		c.quarantine.End(cleared, key)
		c.wakeExchanges()
	}
	stop := context.AfterFunc(ctx, func() { end(false) }) // also if Load never returns
	ready := false
	defer func() { // also after a panic or Goexit of Load, which the process survives
		if stop() {
			end(ready)
		}
	}()
	c.announce(ctx, seq)
	ready = c.quarantine.Ready(key)
	switch {
	case ctx.Err() != nil:
		return v, context.Cause(ctx)
	case !ready:
		return v, errSuspect
	case c.owners.Owner(key) != c.self:
		return c.loadHere(ctx, key, c.callLoad)
	}
	courier.RestartTimeout(ctx, 0)
	return c.callLoad(ctx, key)
}

// announce waits until all members know the records up to seq, and this node knows theirs as of
// then. It waits for a silent member for PeerTimeout, and not at all for one that can't be reached
// or was found to be dead.
func (c *Cache[V]) announce(ctx context.Context, seq uint64) {
	ctx, cancel := context.WithTimeout(ctx, c.o.PeerTimeout)
	defer cancel()
	var waiting sync.WaitGroup
	for _, m := range c.members.all() {
		if m.differs == "" && !c.quarantine.Dead(incarnationOf(m.address)) {
			waiting.Go(func() { _ = c.confirm(ctx, m, func() bool { return m.knownRecords.Load() >= seq }) })
		}
	}
	waiting.Wait()
}

// announceMany tells all members that this node is going to load those keys at these indices whose
// owner was found to be dead, so that there are witnesses. end is to be called when the load has
// ended.
func (c *Cache[V]) announceMany(ctx context.Context, keys []string, at []int) (end func()) {
	var orphans []string
	for _, i := range at {
		key := keys[i]
		to, ok := c.members.address(c.owners.Owner(key))
		if ok && c.quarantine.Dead(incarnationOf(to)) {
			orphans = append(orphans, key)
		}
	}
	if len(orphans) == 0 {
		return func() {}
	}
	orphans, seq := c.quarantine.Announce(orphans)
	c.announce(ctx, seq)
	return func() {
		c.quarantine.End(false, orphans...)
		c.wakeExchanges()
	}
}

// endTrials ends the trials of this node, which closes, and tells the other members: its end is no
// death.
func (c *Cache[V]) endTrials() {
	if seq, some := c.quarantine.Leave(); some {
		c.announce(c.life, seq)
	}
}

// waitFor waits until changed is closed, but no longer than d. It returns the cause of ctx if that
// ends.
func waitFor(ctx context.Context, changed <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
