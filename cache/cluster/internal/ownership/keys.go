package ownership

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
)

// maxPlainKey bounds the length of the keys that are part of their names as they are, in bytes.
// Names of longer keys have a hash.
const maxPlainKey = 200

// NewKeys returns Owners of keys that are claimed one by one.
func NewKeys(c Config) Owners { return newKeys(c) }

func newKeys(c Config) *keys {
	k := &keys{c: c, plain: "cache/" + c.Cache + "/key/", hashed: "cache/" + c.Cache + "/sha/"}
	k.claims = newClaims(c, k.name, k.lost)
	k.claims.idle = newIdle(k.claims, c.IdleRelease)
	k.claims.onReleased = k.Changed
	k.claims.running.Go(k.claims.idle.run)
	return k
}

type keys struct {
	c             Config
	plain, hashed string // prefixes of names
	members       members
	claims        *claims
}

func (k *keys) name(key string) string {
	if len(key) <= maxPlainKey {
		return k.plain + key
	}
	sum := sha256.Sum256([]byte(key))
	return k.hashed + hex.EncodeToString(sum[:])
}

// Owner returns the holder of the key's name. A holder that is no member can't be asked, so the key
// counts as one that nobody holds; its home then loads it without owning it.
func (k *keys) Owner(key string) string {
	if claim, ok := k.c.Registry.Lookup(k.name(key)); ok && k.members.has(claim.Node) {
		if claim.Node == k.c.Self {
			k.restartIdle(key)
		}
		return claim.Node
	}
	return k.members.home(key)
}

// restartIdle keeps the name of an idle key that is about to be loaded.
func (k *keys) restartIdle(key string) {
	s := k.claims.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.claims[key]; have != nil && have.state == held {
		k.claims.idle.restart(s, have)
	}
}

// Changed claims the name of a key that has come. The name of a key that has gone becomes idle.
func (k *keys) Changed(key string) {
	s := k.claims.shard(key)
	s.mu.Lock()
	has, have := k.c.Has(key), s.claims[key]
	switch {
	case have == nil || have.state != held: // onReleased or register looks again when that is over
	case has:
		s.endIdle(have)
	case have.idleElement == nil:
		k.claims.idle.begin(s, have)
	}
	s.mu.Unlock()
	if has && have == nil && k.Owner(key) == k.c.Self {
		k.claims.claim(key)
	}
}

// lost calls Config.Lost for keys whose names were lost.
func (k *keys) lost(list []string) {
	for _, key := range list {
		k.c.Lost(key)
	}
}

// SetMembers replaces the members.
func (k *keys) SetMembers(nodes []string) { k.members.set(nodes) }

// Stats counts the names of keys.
func (k *keys) Stats() Stats { return k.claims.stats() }

// Shares returns nil.
func (k *keys) Shares() map[string]int { return nil }

// Close releases all names.
func (k *keys) Close(ctx context.Context) error { return k.claims.close(ctx) }
