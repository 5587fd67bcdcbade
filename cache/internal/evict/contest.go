package evict

import "math"

// A contest finds the window with which a [TinyLFU] has the most hits. It replays the uses of a
// sample of the keys in models: caches without values, smaller by the share of the sample, one for
// each window (miniature simulations: Waldspurger, Saemundsson, Ahmad and Park, USENIX ATC 2017).
// With a window of the whole cache, TinyLFU is LRU.
//
// The models see the same uses, so that a few hundred keys tell them apart. Each has a lead on the
// model whose window the cache has: one more for a use that only it has stored, one less for the
// opposite. When a lead passes a limit, its window is the cache's (a cumulative sum: Page,
// Biometrika 1954). A large advantage is found within a fraction of the cache's size in requests,
// a small one later, and noise seldom passes the limit.
//
// Hill climbing, as in Caffeine, tries one window after the other in the cache itself. It needs
// many times the cache's size in requests for each try.
type contest struct {
	models  [len(shares)]*TinyLFU
	keys    map[uint32]*sampled // by hash: those that are in a model
	leads   [len(shares)]float64
	current int     // the model whose window the cache has
	last    int     // the one before it
	earned  float64 // the hits of current, less those of last, since the change
	caution float64 // multiplies the limit
	now     uint32
}

// A sampled is a key of the sample, with its node in each model. The weight of the node is 1 if the
// model has stored it, and 0 if not.
type sampled struct{ nodes [len(shares)]Node }

func (s *sampled) stored() bool {
	for i := range s.nodes {
		if s.nodes[i].Weight > 0 {
			return true
		}
	}
	return false
}

// shares are the windows' shares of the cache.
var shares = [...]float64{tinyShare, 0.3, wholeShare}

const (
	tinyShare  = 0.01
	wholeShare = 1

	tiny  = 0 // the position of tinyShare in shares
	whole = len(shares) - 1
)

// A lead has to pass limitShare of the model's size and limitRoot of its root, the size of chance.
// leadLoss is the loss of a lead with each use, so that a tiny advantage does not count.
//
// Where the models lead in turn, as with keys that are asked for up and down, a change may come too
// late each time: the cache takes a while to follow, and has fewer hits than with any fixed window.
// So a change after which the last one has earned less than payShare of the model's size multiplies
// the limit by cautionRaise, up to cautionMost, and any other divides it. Half of that is forgotten
// in uses for cautionLife times the model's size.
const (
	limitShare = 0.02
	limitRoot  = 1.5
	leadLoss   = 0.002

	payShare     = 0.3
	cautionRaise = 4
	cautionMost  = 128
	cautionLife  = 30
)

// newContest makes a contest whose current model is that of the whole.
func newContest() *contest {
	c := &contest{keys: make(map[uint32]*sampled), current: whole, last: whole, caution: 1}
	for i, share := range shares {
		c.models[i] = NewTinyLFU(windowOf(share))
	}
	return c
}

// restart makes a model the current one, without regard to the leads, and returns its share.
func (c *contest) restart(current int) float64 {
	clear(c.leads[:])
	c.current, c.last, c.earned = current, current, 0
	return shares[current]
}

// keep removes the keys that are not in the sample any more.
func (c *contest) keep(samples func(hash uint32) bool) {
	for hash, s := range c.keys {
		if samples(hash) {
			continue
		}
		for i := range s.nodes {
			if n := &s.nodes[i]; n.Weight > 0 {
				c.models[i].Remove(n)
			}
		}
		delete(c.keys, hash)
	}
}

// use replays a use of the key with that hash in the models, which have room for size entries. It
// returns the share of the window for the cache if that has changed.
func (c *contest) use(hash uint32, size int) (share float64, changed bool) {
	s := c.keys[hash]
	if s == nil {
		s = new(sampled)
		c.keys[hash] = s
	}
	c.now++
	var hits [len(shares)]bool
	for i := range c.models {
		hits[i] = s.nodes[i].Weight > 0
		c.replay(i, &s.nodes[i], hash, size)
	}
	c.earned += lead(hits[c.current], hits[c.last])
	limit := limitShare*float64(size) + limitRoot*math.Sqrt(float64(size))
	best := c.current
	for i := range c.leads {
		if i == c.current {
			continue
		}
		c.leads[i] = max(-limit, c.leads[i]+lead(hits[i], hits[c.current])-leadLoss)
		if c.leads[i] > c.leads[best] {
			best = i
		}
	}
	c.caution = max(1, c.caution*(1-math.Ln2/(cautionLife*float64(size))))
	if c.leads[best] <= limit*c.caution {
		return 0, false
	}
	if c.earned < payShare*float64(size) {
		c.caution = min(c.caution*cautionRaise, cautionMost)
	} else {
		c.caution = max(1, c.caution/cautionRaise)
	}
	ahead := c.leads[best]
	for i := range c.leads {
		c.leads[i] -= ahead
	}
	c.current, c.last, c.earned = best, c.current, 0
	return shares[best], true
}

// lead returns how many more hits a model has than another for a use that they hit or not.
func lead(hit, other bool) float64 {
	switch {
	case hit == other:
		return 0
	case hit:
		return 1
	default:
		return -1
	}
}

// replay replays a use of a key, whose node is n, in a model.
func (c *contest) replay(model int, n *Node, hash uint32, size int) {
	m := c.models[model]
	if n.Weight > 0 {
		m.Use(n)
		return
	}
	n.Hash, n.Weight = hash, 1
	n.Reset(c.now)
	m.Add(n)
	for m.Len() > size && m.Len() > 1 {
		v := m.Victim(n)
		m.Remove(v)
		v.Weight = 0
		if s := c.keys[v.Hash]; !s.stored() {
			delete(c.keys, v.Hash)
		}
	}
}
