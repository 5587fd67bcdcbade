package cluster

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/snowfence/snowfence/cache/cluster/internal/deletes"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

const (
	// exchangeEvery is how often a node compares its deletes with each other one, whether it has news or not. It is the
	// bound of how long a node that was cut off serves what was deleted, once it can be reached again.
	exchangeEvery = 2 * time.Second

	// A member that can't be reached is tried again after retryFirst, then after twice as long, up to exchangeEvery.
	retryFirst = 100 * time.Millisecond

	// maxRounds is how often the two answer each other in one exchange; what is left then comes with the next one.
	maxRounds = 1000

	// A message about deletes is filled up to messageSize bytes. It may be longer by what each message holds, and by one key.
	messageSize = 512 << 10
)

// A member is another node of the cache, in one run of it.
type member struct {
	address peer.Address
	meta    string             // its card, as received
	differs string             // why it is not asked; empty: it is
	stop    context.CancelFunc // ends its exchange
	wake    chan struct{}      // there is news for it

	mu      sync.Mutex // guards what follows
	known   deletes.Vector
	begun   uint64        // exchanges so far, with the one that runs
	ended   uint64        // those that have ended
	err     error         // of the last one
	gone    bool          // it is not seen any more
	changed chan struct{} // closed, and replaced, when one ends
}

// exchange brings another node the deletes that it lacks, and takes those that this one lacks, until ctx ends.
func (c *Cache[V]) exchange(ctx context.Context, m *member) {
	defer m.leave()
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

// exchangeOnce goes on until neither of the two has anything that the other lacks, as far as both knew at its begin.
func (c *Cache[V]) exchangeOnce(ctx context.Context, m *member) (err error) {
	m.mu.Lock()
	m.begun++
	known := m.known
	m.mu.Unlock()
	defer func() { m.finish(err) }()
	for range maxRounds {
		message, more := c.deletes.Message(known, messageSize)
		answer, err := c.client.Exchange(ctx, m.address, message)
		if err != nil {
			return err
		}
		if known, err = c.deletes.Merge(answer); err != nil {
			return err
		}
		m.mu.Lock()
		m.known = known
		m.mu.Unlock()
		if !more && c.deletes.Vector().CoversAll(known) {
			break
		}
	}
	return nil
}

// finish notes how an exchange has ended.
func (m *member) finish(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended++
	m.err = err
	m.tell()
}

// leave tells those who wait for m that it is not seen any more.
func (m *member) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	m.tell()
}

// tell wakes those who wait for a change. mu is held.
func (m *member) tell() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// mergeDeletes takes what another node has sent, and answers with what that one lacks.
func (c *Cache[V]) mergeDeletes(message []byte) ([]byte, error) {
	known, err := c.deletes.Merge(message)
	if err != nil {
		return nil, err
	}
	answer, _ := c.deletes.Message(known, messageSize)
	return answer, nil
}

// confirm waits until another node has applied id or is not seen any more, and fails if an exchange that began later has
// failed.
func (m *member) confirm(ctx context.Context, id deletes.ID) error {
	m.mu.Lock()
	after := m.begun
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default: // it will be woken already
	}
	for {
		m.mu.Lock()
		done, failed, changed := m.gone || m.known.Covers(id), m.ended > after && m.err != nil, m.changed
		err := m.err
		m.mu.Unlock()
		switch {
		case done:
			return nil
		case failed:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
