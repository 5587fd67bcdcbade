package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

const (
	// exchangeEvery bounds the time between two exchanges with a member, whether the node has
	// news or not. It is the bound of how long a node that was cut off serves what was deleted,
	// once it can be reached again.
	exchangeEvery = 2 * time.Second

	// A member that can't be reached is tried again after retryFirst, then after twice as long, up
	// to exchangeEvery.
	retryFirst = 100 * time.Millisecond

	// maxRounds is how often the two answer each other in one exchange; what is left then comes
	// with the next one.
	maxRounds = 1000

	// A message about deletes is filled up to messageSize bytes. It may be longer by what each
	// message holds, and by one key.
	messageSize = 512 << 10

	// newsSize bounds the records that an exchange carries, in bytes; one record always goes.
	newsSize = 256 << 10
)

// A member is another node of the cache, in one run of it.
type member struct {
	address      peer.Address
	meta         string             // its card, as received
	differs      string             // why it is not asked; empty: it is
	stop         context.CancelFunc // ends its exchange
	wake         chan struct{}      // there is news for it
	knownRecords atomic.Uint64      // up to which number it knows the records of suspects
	trialTurns   chan struct{}      // holds one for each key that it is asked to try

	mu     sync.Mutex // guards what follows
	begun  uint64     // exchanges so far, with the one that runs
	ended  uint64     // those that have ended
	synced bool       // one has succeeded
	err    error      // of the last one
	gone   bool       // it is not seen any more

	changed chan struct{} // closed, and replaced, when one ends
}

// exchange brings another node the deletes that it lacks, and takes those that this one lacks,
// until ctx ends.
func (c *Cache[V]) exchange(ctx context.Context, m *member) {
	defer m.end()
	retry := retryFirst
	timer := time.NewTimer(time.Nanosecond) // not 0: see atOnce in package registry
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
		pause := exchangeEvery
		if err := c.exchangeOnce(ctx, m); err == nil {
			retry = retryFirst
		} else {
			c.log.Debug("deletes could not be exchanged", "other", m.address.Node, "error", err)
			pause, retry = retry, min(2*retry, exchangeEvery)
		}
		timer.Reset(pause - time.Duration(rand.Float64()*float64(pause)/4)) //nolint:gosec // no secret
	}
}

// exchangeOnce goes on until neither of the two has anything that the other lacks, as far as both
// knew at its begin.
func (c *Cache[V]) exchangeOnce(ctx context.Context, m *member) (err error) {
	m.mu.Lock()
	m.begun++
	m.mu.Unlock()
	defer func() { m.finish(err) }()
	for range maxRounds {
		message, upTo := c.withRecords(m, c.deletes.Message(m.address.Incarnation, messageSize))
		answer, err := c.client.Exchange(ctx, m.address, message)
		if err != nil {
			return err
		}
		c.quarantine.Up(incarnationOf(m.address))
		if answer, err = c.takeRecords(answer); err != nil {
			return err
		}
		m.knownRecords.Store(upTo) // when what m knows is known here: see announce
		if more, err := c.deletes.Merge(m.address.Incarnation, answer); err != nil || !more {
			return err
		}
	}
	return nil
}

// finish notes how an exchange has ended.
func (m *member) finish(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended++
	m.synced = m.synced || err == nil
	m.err = err
	m.notify()
}

// leave tells those who wait for m that it is not seen any more.
func (m *member) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	m.notify()
}

// tell wakes those who wait for a change. mu is held.
func (m *member) notify() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// wakeUp makes m hear the news at once.
func (m *member) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default: // it will be woken already
	}
}

// confirm waits until done, which exchanges with m bring about, or m is not seen any more. It fails
// if an exchange that began later has failed, or this cache has closed.
func (c *Cache[V]) confirm(ctx context.Context, m *member, done func() bool) error {
	m.mu.Lock()
	after := m.begun
	m.mu.Unlock()
	for {
		m.mu.Lock()
		gone, failed, err, changed := m.gone, m.ended > after && m.err != nil, m.err, m.changed
		m.mu.Unlock()
		switch {
		case done():
			return nil
		case c.life.Err() != nil: // before gone, which all members are now
			return context.Cause(c.life)
		case gone:
			return nil
		case failed:
			return err
		}
		m.wakeUp() // again, while not all fits into one exchange
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// greet waits until the first exchange with each member has ended, for PeerTimeout at most. So this
// node has taken over all that was deleted before it can store anything.
func (c *Cache[V]) greet() {
	ctx, cancel := context.WithTimeout(c.life, c.o.PeerTimeout)
	defer cancel()
	for _, m := range c.members.all() {
		for m.differs == "" {
			m.mu.Lock()
			over, changed := m.gone || m.ended > 0, m.changed
			m.mu.Unlock()
			if over {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// wakeExchanges makes all members hear the news at once.
func (c *Cache[V]) wakeExchanges() {
	for _, m := range c.members.all() {
		m.wakeUp()
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

// withRecords puts the records that m lacks before a message about deletes. upTo is up to which
// number m knows all when it has them.
func (c *Cache[V]) withRecords(m *member, message []byte) (b []byte, upTo uint64) {
	var since uint64
	if m != nil {
		since = m.knownRecords.Load()
	}
	records, upTo := c.quarantine.Message(since, newsSize)
	b = binary.AppendUvarint(b, uint64(len(records)))
	return append(append(b, records...), message...), upTo
}

var errUnreadableRecords = errors.New("cluster: an exchange whose records can't be read")

// takeRecords takes the records before a message about deletes, and returns that.
func (c *Cache[V]) takeRecords(b []byte) (message []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, errUnreadableRecords
	}
	records, message := b[size:][:n], b[size:][n:]
	c.mergeRecords(records)
	return message, nil
}
