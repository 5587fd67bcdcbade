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
	// exchangeEvery bounds the time between two exchanges with a member, whether there is news or not.
	// So it bounds how long a node that was cut off serves what was deleted, once it can be reached
	// again.
	exchangeEvery = 2 * time.Second

	// retryFirst is the time until a member that could not be reached is tried again. It doubles with
	// each failure, up to exchangeEvery.
	retryFirst = 100 * time.Millisecond

	// maxRounds bounds the messages that each side sends in one exchange. What is left then comes with
	// the next one.
	maxRounds = 1000

	// messageSize is up to how many bytes a message about deletes is filled. It may be longer by the
	// fixed part of a message, and by one key.
	messageSize = 512 << 10

	// newsSize bounds the records in one message, in bytes. At least one record fits.
	newsSize = 256 << 10
)

// A member is one incarnation of another node of the cache.
type member struct {
	address      peer.Address
	meta         string             // its memberInfo, as received
	differs      string             // why it is not asked; empty if it is
	stop         context.CancelFunc // ends its exchange
	wake         chan struct{}      // starts an exchange at once
	knownRecords atomic.Uint64      // the number up to which it knows the records of suspects
	trialTurns   chan struct{}      // holds one for each key that it is asked to try

	mu     sync.Mutex // guards what follows
	begun  uint64     // exchanges so far, with the current one
	ended  uint64     // those that have ended
	synced bool       // one has succeeded
	err    error      // of the last one
	gone   bool       // it is no member any more

	changed chan struct{} // closed and replaced when one ends
}

// exchange sends m the deletes that it lacks, and takes over those that this node lacks, until ctx
// ends.
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
			c.log.Debug("deletes could not be exchanged", "peer", m.address.Node, "error", err)
			pause, retry = retry, min(2*retry, exchangeEvery)
		}
		timer.Reset(pause - time.Duration(rand.Float64()*float64(pause)/4)) //nolint:gosec // no secret
	}
}

// exchangeOnce exchanges messages until neither side has anything that the other lacked when they
// began.
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
		m.knownRecords.Store(upTo) // after takeRecords, so that what m knows is known here: see announce
		if more, err := c.deletes.Merge(m.address.Incarnation, answer); err != nil || !more {
			return err
		}
	}
	return nil
}

// finish notes the outcome of an exchange.
func (m *member) finish(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended++
	m.synced = m.synced || err == nil
	m.err = err
	m.notify()
}

// end notes that m is no member any more.
func (m *member) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	m.notify()
}

// notify wakes those who wait for a change of m. mu is held.
func (m *member) notify() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// wakeUp starts an exchange with m at once.
func (m *member) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default: // one is about to start
	}
}

// confirm waits until done returns true, which exchanges with m bring about, or until m is no
// member any more. It fails if an exchange that began after the call fails, if this cache closes,
// or if ctx ends.
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
		case c.life.Err() != nil: // before gone, which is true of all members now
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

// awaitDeletes waits until the first exchange with each member has ended, but no longer than
// PeerTimeout. So this node has the members' deletes before it can store anything.
func (c *Cache[V]) awaitDeletes() {
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

// wakeExchanges starts an exchange with each member at once.
func (c *Cache[V]) wakeExchanges() {
	for _, m := range c.members.all() {
		m.wakeUp()
	}
}

// mergeRecords takes over records of another node.
func (c *Cache[V]) mergeRecords(records []byte) {
	own, err := c.quarantine.Merge(records)
	if err != nil {
		c.log.Debug("records of another node can't be read", "error", err)
	}
	if own {
		c.wakeExchanges()
	}
}

// withRecords puts the records that m lacks before a message about deletes. When m has merged them,
// it knows all records up to the number upTo.
func (c *Cache[V]) withRecords(m *member, message []byte) (b []byte, upTo uint64) {
	var since uint64
	if m != nil {
		since = m.knownRecords.Load()
	}
	records, upTo := c.quarantine.Message(since, newsSize)
	b = binary.AppendUvarint(b, uint64(len(records)))
	return append(append(b, records...), message...), upTo
}

var errUnreadableRecords = errors.New("cluster: the records of an exchange can't be read")

// takeRecords merges the records before a message about deletes, and returns that message.
func (c *Cache[V]) takeRecords(b []byte) (message []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, errUnreadableRecords
	}
	records, message := b[size:][:n], b[size:][n:]
	c.mergeRecords(records)
	return message, nil
}
