package ownership

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// points is the number of points of each member on the ring, as in groupcache.
const points = 50

// NewRing returns Owners that are computed from the members alone, by consistent hashing.
func NewRing(c Config) Owners {
	r := &ring{c: c}
	r.losses.running = &r.running
	r.losses.notify = func([]string) {
		for key := range r.c.Keys {
			if r.Owner(key) != r.c.Self {
				r.c.Lost(key)
			}
		}
	}
	return r
}

type ring struct {
	c       Config
	members members
	points  atomic.Pointer[[]point]
	losses  losses
	running sync.WaitGroup
}

type point struct {
	hash uint64
	node string
}

// Owner returns the member whose point follows the key's hash on the ring.
func (r *ring) Owner(key string) string {
	all := r.points.Load()
	if all == nil || len(*all) == 0 {
		return ""
	}
	i, _ := slices.BinarySearchFunc(*all, xxhash.Sum64String(key), func(p point, hash uint64) int {
		return cmp.Compare(p.hash, hash)
	})
	if i == len(*all) {
		i = 0
	}
	return (*all)[i].node
}

// Shares returns nil.
func (r *ring) Shares() map[string]int { return nil }

// Changed does nothing.
func (r *ring) Changed(string) {}

// SetMembers makes a new ring. Keys that this node owned on the previous one, and does not own now,
// are lost.
func (r *ring) SetMembers(nodes []string) {
	if !r.members.set(nodes) {
		return
	}
	var now []point
	for _, node := range r.members.list() {
		for i := range points {
			now = append(now, point{xxhash.Sum64String(strconv.Itoa(i) + node), node})
		}
	}
	slices.SortFunc(now, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.node, b.node))
	})
	if r.points.Swap(&now) != nil {
		r.losses.add("all that has moved")
	}
}

// Stats are zero: no names are registered.
func (r *ring) Stats() Stats { return Stats{} }

// Close waits for calls of Config.Lost.
func (r *ring) Close(ctx context.Context) error {
	r.losses.close()
	return wait(ctx, &r.running)
}
