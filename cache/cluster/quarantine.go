package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/cache/cluster/internal/quarantine"
	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

const (
	// trialRest is how long after a death the first trial begins: by then what the survivors have
	// seen of it is known to all.
	trialRest = 50 * time.Millisecond

	// lookAgain is how soon a flight looks again that waits for its turn, or for another node's
	// trial, if nothing is heard of it.
	lookAgain = 100 * time.Millisecond

	// newsSize bounds the records that an exchange carries, in bytes; one record always goes.
	newsSize = 32 << 10
)

// A QuarantineError says that a key is not loaded for a while, since processes have ended while
// they loaded it. It reaches the callers on all nodes.
type QuarantineError struct {
	Key    string
	Deaths []string  // the nodes whose processes have ended, sorted; one may be there twice
	Until  time.Time // when the key is tried again, by this node's clock
}

// Error describes the QuarantineError in one line.
func (e *QuarantineError) Error() string {
	return fmt.Sprintf("cluster: key %s is quarantined until %s: nodes died while they loaded it: %s",
		shortKey(e.Key), e.Until.Format(time.TimeOnly), strings.Join(e.Deaths, ", "))
}

// shortKey returns a key for people to read.
func shortKey(key string) string {
	if len(key) > 200 {
		return fmt.Sprintf("%q… (%d bytes)", key[:200], len(key))
	}
	return fmt.Sprintf("%q", key)
}

// errSuspect is the error of a flight that has found out that it must not load its key in the usual
// way: see walk. No caller gets it.
var errSuspect = &hook.Answer{Err: errors.New("cluster: a load of the key may end a node")}

func isSuspect(err error) bool { return err != nil && errors.Is(err, errSuspect.Err) }

func (c *Cache[V]) newBook() *quarantine.Book {
	return quarantine.New(quarantine.Options{
		Self:       quarantine.Incarnation{Node: c.self, ID: c.run},
		Quarantine: c.o.Quarantine, MaxKey: c.o.MaxKey,
		Changed: func(key string, v quarantine.Verdict) {
			if v.State == quarantine.Quarantined {
				c.log.Warn("a key is quarantined: nodes have died while they loaded it",
					"key", shortKey(key), "died", namesOf(v.Deaths),
					"for", time.Until(v.Until).Round(time.Second))
			} else {
				c.log.Info("a key is out of quarantine: it was loaded and the node lives",
					"key", shortKey(key))
			}
		},
	})
}

func namesOf(list []quarantine.Incarnation) []string {
	names := make([]string, len(list))
	for i, one := range list {
		names[i] = one.Node
	}
	return names
}

func incarnationOf(a peer.Address) quarantine.Incarnation {
	return quarantine.Incarnation{Node: a.Node, ID: a.Run}
}

// suspects reports whether key must not be loaded in the usual way. It costs one atomic load while
// there are no records.
func (c *Cache[V]) suspects(key string) bool {
	return !c.quarantine.Empty() && c.quarantine.Check(key).State != quarantine.Clear
}

// witness notes what the error of a request for key says of the end of the node that was asked, and
// reports whether key is not to be loaded in the usual way now. asked is what Asked returned
// before. That no process listens any more counts for a key that is asked for alone: where many
// are, it would keep all of them from being loaded at once, though at most one is to blame.
func (c *Cache[V]) witness(key string, alone bool, to peer.Address, asked uint32, err error) bool {
	if err == nil {
		return false
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
		c.quarantine.Lost(key, at, asked)
	case !alone:
		return false
	case down.Reason == peer.NotListening && c.members.answered(to),
		down.Reason == peer.PassedOver && c.quarantine.IsDown(at):
		c.quarantine.Refused(key, at)
	default:
		return false
	}
	if !c.suspects(key) {
		return false
	}
	c.wakeExchanges()
	return true
}

// walkSuspect is walk for a key that is not clear. Its error is errSuspect if it is by now.
//
// The key's trier tries it, which is this node or another one. The flight has no time-out while it
// waits for that: trials take turns.
func (c *Cache[V]) walkSuspect(ctx context.Context, key string) (v V, err error) {
	for {
		courier.RestartTimeout(ctx, math.MaxInt64)
		heard := c.quarantine.Changed()
		verdict := c.quarantine.Check(key)
		trier := verdict.Trier
		switch verdict.State {
		case quarantine.Clear:
			courier.RestartTimeout(ctx, 0)
			return v, errSuspect
		case quarantine.Quarantined:
			return v, c.quarantined(key, verdict)
		case quarantine.Suspect:
			trier = c.quarantine.Trier(key)
		case quarantine.OnTrial:
		}
		if trier.Node == c.self && trier.ID == c.run {
			v, err = c.try(ctx, key)
		} else {
			v, err = c.askTrier(ctx, trier, key)
		}
		if !isSuspect(err) {
			return v, err
		}
		if err := waitFor(ctx, heard, lookAgain); err != nil {
			return v, err
		}
	}
}

// quarantined returns the error of a key that is not to be loaded. It is no failure of the origin,
// so the key does not back off for it.
func (c *Cache[V]) quarantined(key string, v quarantine.Verdict) error {
	return &hook.Answer{Err: &QuarantineError{Key: key, Deaths: namesOf(v.Deaths), Until: v.Until}}
}

// askTrier asks another node to try key. Its error is errSuspect if that node did not deliver.
func (c *Cache[V]) askTrier(
	ctx context.Context, trier quarantine.Incarnation, key string,
) (v V, err error) {
	to, ok := c.members.address(trier.Node)
	if !ok || to.Run != trier.ID {
		c.quarantine.Down(trier)
		return v, errSuspect
	}
	c.asking.begin(key)
	defer c.asking.end(key)
	q := c.beginAsking(ctx, to, 1)
	courier.RestartTimeout(ctx, math.MaxInt64)
	record := c.quarantine.Record(key)
	got, err := c.client.Try(request{ctx}, to, key, c.deletes.After(to.Run, key), record)
	q.took = time.Since(q.sent)
	r, hint := c.take(ctx, q, got, err)
	if hint == "" {
		v, _, err = c.keep(ctx, r)
		return v, err
	}
	var down *peer.UnavailableError
	var suspect *peer.SuspectError
	switch {
	case errors.As(err, &suspect):
		c.mergeRecords(suspect.Record)
	case errors.As(err, &down) && (down.Reason == peer.Lost ||
		down.Reason == peer.NotListening && c.members.answered(to)):
		c.quarantine.LostTrial(key, trier)
		c.wakeExchanges()
	case errors.As(err, &down) && down.Reason == peer.Busy:
	default:
		c.quarantine.Down(trier)
	}
	c.log.Debug("the trier of a key did not deliver", "trier", trier.Node, "error", err)
	return v, errSuspect
}

// try loads a key whose load may end this node, when it is its turn and all others know that it is
// going to be tried. Its error is errSuspect if it is not to be tried here now; it never asks
// another node.
func (c *Cache[V]) try(ctx context.Context, key string) (v V, err error) {
	courier.RestartTimeout(ctx, math.MaxInt64)
	for {
		if c.closed.Load() {
			return v, ErrClosed
		}
		heard := c.quarantine.Changed()
		verdict := c.quarantine.Check(key)
		switch verdict.State {
		case quarantine.Clear:
			return c.loadTried(ctx, key, c.load)
		case quarantine.Quarantined:
			return v, c.quarantined(key, verdict)
		case quarantine.OnTrial:
			return v, errSuspect
		case quarantine.Suspect:
		}
		if rest := trialRest - c.quarantine.Rest(); rest > 0 {
			if err := waitFor(ctx, nil, rest); err != nil {
				return v, err
			}
			continue
		}
		if seq, ok := c.quarantine.Begin(key); ok {
			return c.runTrial(ctx, key, seq)
		}
		if err := waitFor(ctx, heard, lookAgain); err != nil {
			return v, err
		}
	}
}

// runTrial announces a trial that has begun, and loads key unless another node has begun one too.
func (c *Cache[V]) runTrial(ctx context.Context, key string, seq uint64) (v V, err error) {
	ready := false
	defer func() { // also after a panic or Goexit of Load, which the process survives as well
		c.quarantine.End(key, ready && ctx.Err() == nil)
		c.wakeExchanges()
	}()
	c.announce(ctx, seq)
	if ctx.Err() != nil {
		return v, context.Cause(ctx)
	}
	if verdict := c.quarantine.Ready(key); verdict.State != quarantine.Suspect {
		return v, errSuspect
	}
	ready = true
	return c.loadTried(ctx, key, c.callLoad)
}

// loadTried calls load for a key that this node may own or not.
func (c *Cache[V]) loadTried(
	ctx context.Context, key string, load func(context.Context, string) (V, error),
) (V, error) {
	if c.units.Owner(key) != c.self {
		return c.loadHere(ctx, key, load)
	}
	courier.RestartTimeout(ctx, 0)
	return load(ctx, key)
}

// announce makes all members know the records up to seq. One that is silent is waited for as long
// as an owner is; one that can't be reached, not at all.
func (c *Cache[V]) announce(ctx context.Context, seq uint64) {
	ctx, cancel := context.WithTimeout(ctx, c.o.PeerTimeout)
	defer cancel()
	var waiting sync.WaitGroup
	for _, m := range c.members.all() {
		if m.differs == "" {
			waiting.Go(func() { m.awaitNews(ctx, seq) })
		}
	}
	waiting.Wait()
}

// endTrials ends the trials of this node, which closes, and tells the others: it does not die of
// them.
func (c *Cache[V]) endTrials() {
	if seq, some := c.quarantine.EndAll(); some {
		c.announce(c.life, seq)
	}
}

// waitFor waits until heard is closed, for d at most. It fails if ctx ends.
func waitFor(ctx context.Context, heard <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-heard:
	case <-t.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// wakeExchanges makes all members hear the news at once.
func (c *Cache[V]) wakeExchanges() {
	for _, m := range c.members.all() {
		select {
		case m.wake <- struct{}{}:
		default: // it will be woken already
		}
	}
}

// mergeRecords takes records of another node.
func (c *Cache[V]) mergeRecords(records []byte) {
	own, err := c.quarantine.Merge(records)
	if err != nil {
		c.log.Debug("records of another node can't be read", "error", err)
	}
	if own {
		c.wakeExchanges()
	}
}

// exchangeWith sends a message about deletes, with the records that m lacks before it, and takes
// those that m sends back.
func (c *Cache[V]) exchangeWith(ctx context.Context, m *member, message []byte) ([]byte, error) {
	m.mu.Lock()
	since := m.told
	m.mu.Unlock()
	records, upTo := c.quarantine.Message(since, newsSize)
	answer, err := c.client.Exchange(ctx, m.address, withRecords(records, message))
	if err != nil {
		return nil, err
	}
	c.quarantine.Up(incarnationOf(m.address))
	m.mu.Lock()
	m.told = max(m.told, upTo)
	m.tell()
	m.mu.Unlock()
	return c.cutRecords(answer)
}

// answerWith answers a message of the node from by do, with records before it both ways.
func (c *Cache[V]) answerWith(
	from string, message []byte, do func([]byte) ([]byte, error),
) ([]byte, error) {
	message, err := c.cutRecords(message)
	if err != nil {
		return nil, err
	}
	answer, err := do(message)
	if err != nil {
		return nil, err
	}
	var since uint64
	if m := c.members.all()[from]; m != nil {
		m.mu.Lock()
		since = m.told
		m.mu.Unlock()
	}
	records, _ := c.quarantine.Message(since, newsSize)
	return withRecords(records, answer), nil
}

func withRecords(records, message []byte) []byte {
	b := make([]byte, 0, binary.MaxVarintLen32+len(records)+len(message))
	b = binary.AppendUvarint(b, uint64(len(records)))
	return append(append(b, records...), message...)
}

var errRecords = errors.New("cluster: an exchange whose records can't be read")

// cutRecords is the opposite of withRecords, and takes the records.
func (c *Cache[V]) cutRecords(b []byte) (message []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, errRecords
	}
	c.mergeRecords(b[size : size+int(n)]) //nolint:gosec // compared
	return b[size+int(n):], nil           //nolint:gosec // compared
}

// awaitNews waits until another node knows the records up to seq or is not seen any more, or until
// an exchange that began later has failed.
func (m *member) awaitNews(ctx context.Context, seq uint64) {
	m.mu.Lock()
	after := m.begun
	m.mu.Unlock()
	for {
		m.mu.Lock()
		done, changed := m.gone || m.told >= seq || m.ended > after && m.err != nil, m.changed
		m.mu.Unlock()
		if done {
			return
		}
		select {
		case m.wake <- struct{}{}: // again while not all fits into one exchange
		default:
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// answered reports whether a member has answered before.
func (m *members) answered(to peer.Address) bool {
	other := m.all()[to.Node]
	if other == nil || other.address != to {
		return false
	}
	other.mu.Lock()
	defer other.mu.Unlock()
	return other.synced
}
