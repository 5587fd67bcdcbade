package ownership

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"
)

// maxPlainKey is how long a key may be to stand in its name as it is. Longer ones are hashed.
const maxPlainKey = 200

// NewKeys returns units that are keys.
func NewKeys(c Config) Units {
	c = c.withDefaults()
	k := &keys{
		c: c, plain: "cache/" + c.Cache + "/key/", hashed: "cache/" + c.Cache + "/sha/",
		begun: time.Now(), wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	k.holdings = newHoldings(c, k.name, func(key string) {
		c.Lost(func(other string) bool { return other == key })
	}, k.claimed)
	go k.releaseIdle()
	return k
}

type keys struct {
	c             Config
	plain, hashed string // what names begin with
	members       members
	holdings      *holdings
	begun         time.Time

	mu    sync.Mutex // guards queue
	queue []idleKey  // in the order of since
	wake  chan struct{}
	done  chan struct{} // closed when releaseIdle has ended
}

// An idleKey is a key that has left the cache, and may have come back.
type idleKey struct {
	key   string
	since time.Duration
}

func (k *keys) name(key string) string {
	if len(key) <= maxPlainKey {
		return k.plain + key
	}
	sum := sha256.Sum256([]byte(key))
	return k.hashed + hex.EncodeToString(sum[:])
}

// Owner returns the holder of the key's name. A holder that is no member can't be asked, so it does not count.
func (k *keys) Owner(key string) Owner {
	if claim, ok := k.c.Registry.Lookup(k.name(key)); ok && k.members.has(claim.Node) {
		return Owner{claim.Node, true}
	}
	return Owner{Node: k.members.home(key)}
}

// Claim registers the key's name.
func (k *keys) Claim(ctx context.Context, key string) (Owner, error) {
	return k.holdings.claim(ctx, key)
}

// claimed has a key whose entry does not arrive count as one that has left.
func (k *keys) claimed(key string) (idle time.Duration) {
	idle = k.now()
	k.enqueue(key)
	return idle
}

// Arrived marks the key's name as in use.
func (k *keys) Arrived(key string) {
	s := k.holdings.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.units[key]; have != nil {
		have.idle = 0
	}
}

// Left has the key's name given up later.
func (k *keys) Left(key string) {
	s := k.holdings.shard(key)
	s.mu.Lock()
	have := s.units[key]
	fresh := have != nil && have.idle == 0
	if fresh {
		have.idle = k.now()
	}
	s.mu.Unlock()
	if fresh {
		k.enqueue(key)
	}
}

// enqueue has the key looked at after IdleRelease from now.
func (k *keys) enqueue(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queue = append(k.queue, idleKey{key, k.now()})
	if len(k.queue) == 1 {
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
}

// now is the time since the beginning; never 0.
func (k *keys) now() time.Duration { return time.Since(k.begun) + 1 }

// releaseIdle gives up the names of keys that have been gone for long enough, until the holdings close.
func (k *keys) releaseIdle() {
	defer close(k.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-k.holdings.life.Done():
			return
		case <-k.wake:
		case <-timer.C:
		}
		if wait := k.releaseDue(); wait > 0 {
			timer.Reset(wait)
		}
	}
}

// releaseDue gives up what is due, and returns how long it is to the next one; 0 if there is none.
func (k *keys) releaseDue() time.Duration {
	for {
		k.mu.Lock()
		if len(k.queue) == 0 {
			k.queue = nil
			k.mu.Unlock()
			return 0
		}
		first := k.queue[0]
		if wait := first.since + k.c.IdleRelease - k.now(); wait > 0 {
			k.mu.Unlock()
			return wait
		}
		k.queue[0] = idleKey{}
		k.queue = k.queue[1:]
		k.mu.Unlock()
		// It may have been in use meanwhile, and then have left again later: it is in the queue once more in that case.
		k.holdings.release(first.key, func(have *holding) bool { return have.idle != 0 && have.idle <= first.since })
	}
}

// SetMembers replaces the members.
func (k *keys) SetMembers(nodes []string) { k.members.set(nodes) }

// Stats counts keys.
func (k *keys) Stats() Stats { return k.holdings.stats() }

// Close gives up all names.
func (k *keys) Close(ctx context.Context) error {
	err := k.holdings.close(ctx)
	<-k.done
	return err
}
