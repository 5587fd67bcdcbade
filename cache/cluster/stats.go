package cluster

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// Stats holds the counts of a Cache since it was made. Each number is exact when nothing is going
// on; they are not read at one instant.
type Stats struct {
	// calls of Get and Fetch, keys of FetchMany, and keys that other nodes asked for, that found a
	// fresh value
	Hits   uint64
	Misses uint64 // those that did not
	Stale  uint64 // values whose TTL had ended, given here and to other nodes

	Loads      uint64 // keys that this node has called Load or LoadMany for
	LoadErrors uint64 // of these, the ones that failed; a missing record is an answer
	LocalLoads uint64 // of these, the ones for a key whose owner did not deliver

	Asked       uint64      // keys that this node has asked peers for
	AskFailures AskFailures // of these, the ones that brought neither a value nor an error of Load

	Served       uint64  // values that this node gave to others, and missing records
	ServedErrors uint64  // errors of Load that it gave to others
	Refused      Refused // requests that it refused

	// keys that one node at a time tries, since a node died while it loaded them
	Suspects    int
	Quarantined int    // keys that no node loads for a while, since two nodes died
	Trials      uint64 // loads of such keys by this node

	Held     int    // names that this node holds now
	Claimed  uint64 // names that it has claimed
	Released uint64 // names that it has given up
	Lost     uint64 // names that it has lost in a conflict

	Deletes        uint64 // Delete, InvalidateTag and Clear called here
	DeletesApplied uint64 // those of other nodes that this one has applied
	// how often this node cleared its cache because it had missed too many deletes
	Resets uint64

	Peers []PeerStats // the other nodes of this cache, sorted by name

	// Store has the counts of the store, own entries and copies alike. Its Loads are keys that were
	// loaded or asked for, and its Courier counts those who wait for either.
	Store   cache.Stats
	Entries int // how many there are now, with the copies
	Copies  int // of these, the ones whose keys other nodes own
}

// Refused has the counts of requests of other nodes that were refused: Busy (above MaxPeerRequests,
// or the loads were at their limit), Misplaced (for a key that this node does not own), Unsendable
// (for a value that is larger than MaxValue, or that Codec can't encode), Unauthenticated (wrong or
// no credentials), Malformed (not a request of this protocol, or too large) and OtherVersion (of
// another version of the protocol, for another cache, or for another incarnation of the node).
type Refused = peer.Refused

// PeerStats holds the state of another member as this node sees it.
type PeerStats struct {
	Node string
	URL  string
	// "closed": it is asked; "open": it is passed over; "half-open": one request tries it; "": it is
	// never asked, see Differs
	Breaker string
	Failure string // if Breaker is not "closed": how a request failed last
	Synced  bool   // whether all deletes known here are known there
	Differs string // if it is never asked: which option of the cluster differs, and how
}

type counters struct {
	loads        atomic.Uint64
	loadErrors   atomic.Uint64
	localLoads   atomic.Uint64
	asked        atomic.Uint64
	misplaced    atomic.Uint64
	deletes      atomic.Uint64
	stale        atomic.Uint64 // values of owners
	served       atomic.Uint64
	servedErrors atomic.Uint64
	failures     [peer.Reasons]atomic.Uint64 // keys that a peer did not deliver
}

// Stats returns the cache's counters. It does not block.
func (c *Cache[V]) Stats() Stats {
	n := &c.counters
	s := Stats{
		Loads:       n.loads.Load(),
		LoadErrors:  n.loadErrors.Load(),
		LocalLoads:  n.localLoads.Load(),
		Asked:       n.asked.Load(),
		AskFailures: n.askFailures(),
		Served:      n.served.Load(), ServedErrors: n.servedErrors.Load(),
		Refused: c.server.Refused(),
		Deletes: n.deletes.Load(),
		Store:   c.store.Stats(), Entries: c.store.Len(), Copies: int(c.copies.n.Load()),
	}
	flights, loads := &s.Store.Courier, c.loads.Stats() // of the latter only what is about functions
	flights.Panics, flights.Goexits = flights.Panics+loads.Panics, flights.Goexits+loads.Goexits
	flights.Abandoned += loads.Abandoned
	flights.AbandonedTotal += loads.AbandonedTotal
	s.Store.Panics = flights.Panics
	s.Hits, s.Misses, s.Stale = s.Store.Hits, s.Store.Misses, s.Store.Stale+n.stale.Load()
	suspects := c.quarantine.Stats()
	s.Suspects, s.Quarantined, s.Trials = suspects.Suspects, suspects.Quarantined, suspects.Trials
	log := c.deletes.Stats()
	s.DeletesApplied, s.Resets = log.Applied, log.Resets
	names := c.owners.Stats()
	s.Held, s.Claimed, s.Released, s.Lost = names.Held, names.Claimed, names.Released, names.Lost
	seen := c.members.all()
	for _, node := range slices.Sorted(maps.Keys(seen)) {
		m := seen[node]
		p := PeerStats{Node: node, URL: m.address.URL, Differs: m.differs}
		if m.differs == "" {
			p.Breaker = c.client.Breaker(m.address)
			p.Failure = c.client.Failure(m.address)
			m.mu.Lock()
			p.Synced = m.synced && !c.deletes.Lacks(m.address.Incarnation)
			m.mu.Unlock()
		}
		s.Peers = append(s.Peers, p)
	}
	return s
}
