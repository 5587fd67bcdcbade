package ownership

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
)

// maxPlainKey bounds the keys that stand in their names as they are. Longer ones are hashed.
const maxPlainKey = 200

// NewKeys returns units that are keys.
func NewKeys(c Config) Units { return newKeys(c) }

func newKeys(c Config) *keys {
	c = c.withDefaults()
	k := &keys{c: c, plain: "cache/" + c.Cache + "/key/", hashed: "cache/" + c.Cache + "/sha/"}
	k.holdings = newHoldings(c, k.name, k.lost)
	k.holdings.idle = newIdle(k.holdings, c.IdleRelease)
	k.holdings.changed = k.Changed
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

// Owner returns the holder of the key's name. A holder that is no member can't be asked, so the key
// counts as one that nobody holds; its home loads it then without owning it.
func (k *keys) Owner(key string) string {
	if claim, ok := k.c.Registry.Lookup(k.name(key)); ok && k.members.has(claim.Node) {
		if claim.Node == k.c.Self {
			k.asked(key)
		}
		return claim.Node
	}
	return k.members.home(key)
}

// asked keeps the name of an idle key that is about to be loaded.
func (k *keys) asked(key string) {
	s := k.holdings.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.units[key]; have != nil && have.state == held {
		k.holdings.idle.restart(s, have)
	}
}

// Changed registers the name of a key that has come, and gives up that of one that has gone later.
func (k *keys) Changed(key string) {
	s := k.holdings.shard(key)
	s.mu.Lock()
	has, have := k.c.Has(key), s.units[key]
	switch {
	case have == nil || have.state != held: // who changes it looks again when that is over
	case has:
		s.use(have)
	case have.idles == nil:
		k.holdings.idle.begin(s, have)
	}
	s.mu.Unlock()
	if has && have == nil && k.Owner(key) == k.c.Self {
		k.holdings.claim(key)
	}
}

// lost tells of keys whose names were lost.
func (k *keys) lost(list []string) {
	for _, key := range list {
		k.c.Lost(key)
	}
}

// SetMembers replaces the members.
func (k *keys) SetMembers(nodes []string) { k.members.set(nodes) }

// Stats counts keys.
func (k *keys) Stats() Stats { return k.holdings.stats() }

// Close gives up all names.
func (k *keys) Close(ctx context.Context) error { return k.holdings.close(ctx) }
