package cluster

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/courier"
)

// Stats is what a Cache did since it was made. Each number is exact when nothing is going on; they are not read at one
// instant.
type Stats struct {
	Hits     uint64 // Get and Fetch that found an entry which this node owns
	CopyHits uint64 // those that found a copy
	Misses   uint64 // those that found neither

	Loads         uint64 // calls of Load by this node
	LoadErrors    uint64 // of these, the ones that gave no value
	LocalLoads    uint64 // of these, the ones for a key that another node owns, but did not deliver
	LocalRejected uint64 // loads that were refused because of MaxLocalLoads: all who waited for one got ErrOverloaded

	Asked       uint64      // requests for a value that this node sent to others
	AskFailures AskFailures // those that brought neither a value nor an error of Load

	Served       uint64  // values that this node gave to others
	ServedErrors uint64  // errors of Load that it gave to others
	Refused      Refused // requests that it refused

	Held     int    // names that this node holds now
	Claimed  uint64 // names that it has claimed
	Released uint64 // names that it has given up
	Lost     uint64 // names that it has lost in a conflict

	Deletes        uint64 // Delete and Clear called here
	DeletesApplied uint64 // those of other nodes that were applied here
	Resets         uint64 // how often this node cleared its cache because it had missed too many deletes

	Peers                     []PeerStats   // the other nodes of this cache, by name
	Owned                     cache.Stats   // of the entries that this node owns
	Copies                    cache.Stats   // of the copies
	Local                     courier.Stats // of the loads for keys whose owner did not deliver
	OwnedEntries, CopyEntries int           // how many there are now
}

// AskFailures says why other nodes did not deliver. After each of these the value was loaded here, or another node asked.
type AskFailures struct {
	Silent       uint64 // nothing was heard for PeerTimeout
	Unreachable  uint64 // no connection, or it broke
	Busy         uint64 // it had too much to do, or was closing
	Misplaced    uint64 // it does not own the key either
	Rubbish      uint64 // its answer made no sense, was not authentic, or too large
	OtherVersion uint64 // it speaks another version of the protocol, or is configured otherwise
	Denied       uint64 // it did not accept our credentials
	PassedOver   uint64 // it was not asked, because it had failed several times
}

// Refused counts requests of other nodes that were refused.
type Refused struct {
	Busy            uint64 // more than MaxPeerRequests, or the loads were at their limit
	Misplaced       uint64 // for a key that this node does not own
	Unauthenticated uint64 // wrong or no credentials, or a replay
	Malformed       uint64 // no request of this protocol, or too large
	OtherVersion    uint64 // another version of the protocol
}

// PeerStats is what a node knows of another one.
type PeerStats struct {
	Node    string
	URL     string
	Breaker string // "closed": it is asked; "open": it is passed over; "half-open": one request tries it
	Synced  bool   // whether all deletes known here are known there
	Differs string // if it is never asked: which option of the cluster differs, and how
}

type counters struct {
	misses        atomic.Uint64
	loads         atomic.Uint64
	loadErrors    atomic.Uint64
	localLoads    atomic.Uint64
	localRejected atomic.Uint64
	asked         atomic.Uint64
	misplaced     atomic.Uint64
	deletes       atomic.Uint64
	served        atomic.Uint64
	servedErrors  atomic.Uint64
	failures      [peer.PassedOver + 1]atomic.Uint64 // by why a node did not deliver
}

// Stats returns the cache's counters. It does not block.
func (c *Cache[V]) Stats() Stats {
	n := &c.counters
	s := Stats{
		Misses:        n.misses.Load(),
		Loads:         n.loads.Load(),
		LoadErrors:    n.loadErrors.Load(),
		LocalLoads:    n.localLoads.Load(),
		LocalRejected: n.localRejected.Load(),
		Asked:         n.asked.Load(),
		AskFailures: AskFailures{
			Silent:       n.failures[peer.Silent].Load(),
			Unreachable:  n.failures[peer.Unreachable].Load(),
			Busy:         n.failures[peer.Busy].Load() + n.failures[peer.Closing].Load(),
			Misplaced:    n.misplaced.Load(),
			Rubbish:      n.failures[peer.Rubbish].Load(),
			OtherVersion: n.failures[peer.OtherVersion].Load(),
			Denied:       n.failures[peer.Denied].Load(),
			PassedOver:   n.failures[peer.PassedOver].Load(),
		},
		Served: n.served.Load(), ServedErrors: n.servedErrors.Load(), Refused: Refused(c.server.Refused()),
		Deletes: n.deletes.Load(),
		Owned:   c.owned.Stats(), OwnedEntries: c.owned.Len(),
		Copies: c.copies.Stats(), CopyEntries: c.copies.Len(),
		Local: c.local.Stats(),
	}
	s.Hits, s.CopyHits = s.Owned.Hits, s.Copies.Hits
	log := c.deletes.Stats()
	s.DeletesApplied, s.Resets = log.Applied, log.Resets
	units := c.units.Stats()
	s.Held, s.Claimed, s.Released, s.Lost = units.Held, units.Claimed, units.Released, units.Lost
	seen := c.members.all()
	applied := c.deletes.Vector()
	for _, node := range slices.Sorted(maps.Keys(seen)) {
		m := seen[node]
		p := PeerStats{Node: node, URL: m.address.URL, Differs: m.differs}
		if m.differs == "" {
			p.Breaker = c.client.Breaker(m.address)
			m.mu.Lock()
			p.Synced = m.ended > 0 && m.known.CoversAll(applied)
			m.mu.Unlock()
		}
		s.Peers = append(s.Peers, p)
	}
	return s
}
