package ownership

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
)

// maxPlainKey is how long a key may be to stand in its name as it is. Longer ones are hashed.
const maxPlainKey = 200

// NewKeys returns units that are keys.
func NewKeys(c Config) Units { return newKeys(c) }

func newKeys(c Config) *keys {
	c = c.withDefaults()
	k := &keys{c: c, plain: "cache/" + c.Cache + "/key/", hashed: "cache/" + c.Cache + "/sha/"}
	k.holdings = newHoldings(c, k.name, k.lost)
	k.holdings.idle = newIdle(k.holdings, c.IdleRelease)
	k.holdings.running.Go(k.holdings.idle.run)
	return k
}

type keys struct {
	c             Config
	plain, hashed string // what names begin with
	members       members
	holdings      *holdings
}

func (k *keys) name(key string) string {
	if len(key) <= maxPlainKey {
		return k.plain + key
	}
	sum := sha256.Sum256([]byte(key))
	return k.hashed + hex.EncodeToString(sum[:])
}

// Owner returns the holder of the key's name. A holder that is no member can't be asked, so the key counts as one
// that nobody holds; if its home then claims it, Claim returns that holder, and the home loads the key without owning
// it.
func (k *keys) Owner(key string) Owner {
	if claim, ok := k.c.Registry.Lookup(k.name(key)); ok && k.members.has(claim.Node) {
		if claim.Node == k.c.Self {
			k.asked(key)
		}
		return Owner{claim.Node, true}
	}
	return Owner{Node: k.members.home(key)}
}

// asked keeps the name of an idle key that is about to be loaded.
func (k *keys) asked(key string) {
	s := k.holdings.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.units[key]; have != nil && have.change == nil {
		k.holdings.idle.restart(s, have)
	}
}

// Claim registers the key's name. It counts as idle until its entry arrives: so one whose load fails is given up.
func (k *keys) Claim(ctx context.Context, key string) (Owner, error) {
	return k.holdings.claim(ctx, key)
}

// Arrived marks the key's name as in use.
func (k *keys) Arrived(key string) {
	s := k.holdings.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.units[key]; have != nil {
		have.since = 0
		s.idlers.remove(have)
	}
}

// Left has the key's name given up later.
func (k *keys) Left(key string) {
	s := k.holdings.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch have := s.units[key]; {
	case have == nil || have.since != 0:
	case have.change != nil:
		have.since = 1 // it begins with being idle, if it comes
	default:
		k.holdings.idle.begin(s, have)
	}
}

func (k *keys) lost(list []string) {
	if k.c.LostKeys != nil {
		k.c.LostKeys(list)
		return
	}
	set := make(map[string]bool, len(list))
	for _, key := range list {
		set[key] = true
	}
	k.c.Lost(func(key string) bool { return set[key] })
}

// SetMembers replaces the members.
func (k *keys) SetMembers(nodes []string) { k.members.set(nodes) }

// Stats counts keys.
func (k *keys) Stats() Stats { return k.holdings.stats() }

// Close gives up all names.
func (k *keys) Close(ctx context.Context) error { return k.holdings.close(ctx) }
