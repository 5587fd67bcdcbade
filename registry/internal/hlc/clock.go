package hlc

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// A Clock is the hybrid logical clock of one node. Its methods may be called at the same time; none
// blocks for longer than it takes to copy a few numbers.
type Clock struct {
	maxSkew int64

	mu      sync.Mutex // guards the fields below; a leaf: no other lock is taken under it
	last    Timestamp
	peers   map[string]peer
	heard   int64 // our wall clock at the last Heard
	ahead   int64 // by how much our wall clock exceeds what maxSkew allows; 0: it does not
	clamps  uint64
	refused uint64
}

// A peer holds the offset of another node's wall clock. All offsets are its clock minus ours.
type peer struct {
	known  bool
	offset int64

	// A message that looks too old may have been under way for long, or may have waited while this
	// process was stopped. It counts if no newer one comes within probation.
	doubted bool
	late    int64 // the highest offset since
	since   int64 // our wall clock when the first such message came
}

// probation is the time for which all messages of a node must look too old before our clock counts
// as ahead of its. Several fresh ones come in that time.
const probation = int64(5 * time.Second)

// plausible is the first moment that a right wall clock can show: this package is newer.
const plausible = 1_577_836_800 * int64(time.Second) // 2020-01-01

// New returns a clock that tolerates wall clocks up to maxSkew apart.
func New(maxSkew time.Duration) *Clock {
	return &Clock{maxSkew: int64(maxSkew), peers: make(map[string]peer)}
}

// Now returns a timestamp that is newer than every one that the clock gave out or observed, given
// the wall clock's reading in nanoseconds. It follows the wall clock, unless that stepped back
// (then the logical part counts on) or is far ahead of the cluster (then it is held back, see
// [Clock.Heard]).
func (c *Clock) Now(wall int64) Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := wall - c.ahead; now > c.last.Nanos {
		c.last = Timestamp{Nanos: now}
	} else {
		c.last = next(c.last)
	}
	return c.last
}

// Observe makes later timestamps newer than ts, which came from another node, and reports whether
// it did. It does not follow one that is further ahead of the wall clock than the tolerated skew,
// so that one wrong clock does not drag the others along.
func (c *Clock) Observe(ts Timestamp, wall int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ts.Nanos > wall-c.ahead+c.maxSkew {
		c.refused++
		return false
	}
	if ts.Compare(c.last) > 0 {
		c.last = ts
	}
	return true
}

// Heard notes the wall clock of another node, as of a message that just came, and reports whether
// our own is now found to be too far ahead, and was not before. The clock then starts again from
// the limit, and timestamps newer than [Clock.Limit] should be replaced.
//
// Too far ahead means further than the tolerated skew ahead of the median of the cluster's clocks
// (the lower of two in the middle, so that of two nodes the one ahead gives way). A clock that
// shows a time before 2020, as after a start without a battery, has no say against one that does
// not.
//
// A late message makes its sender's clock look slow, never fast. So a clock counts as slow only
// when all messages have looked so for five seconds: one is late now and then, and all of them wait
// while a process is stopped or its machine sleeps.
func (c *Clock) Heard(node string, theirs, wall int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wall < c.heard || wall-c.heard > probation {
		for name, p := range c.peers { // this process was stopped, or its clock was set
			p.doubted = false
			c.peers[name] = p
		}
	}
	c.heard = wall
	p := c.peers[node]
	p.hear(theirs-wall, wall, c.maxSkew)
	c.peers[node] = p
	return c.judge(wall)
}

// hear updates the offset by that of one message.
func (p *peer) hear(offset, wall, maxSkew int64) {
	switch {
	case offset >= -maxSkew || p.known && offset >= p.offset:
		*p = peer{known: true, offset: offset}
	case !p.doubted:
		p.doubted, p.late, p.since = true, offset, wall
	case wall-p.since < probation:
		p.late = max(p.late, offset)
	default:
		*p = peer{known: true, offset: max(p.late, offset)}
	}
}

// Forget drops the offset of a node, which went down.
func (c *Clock) Forget(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.peers, node)
}

// judge sets ahead by the known offsets, and reports whether it was 0 before and is not now. The
// caller holds mu.
func (c *Clock) judge(wall int64) bool {
	offsets := make([]int64, 0, 64) // on the stack for clusters of up to 64 nodes
	for _, p := range c.peers {
		if p.known && (wall < plausible || wall+p.offset >= plausible) {
			offsets = append(offsets, p.offset)
		}
	}
	offsets = append(offsets, 0) // our own
	slices.Sort(offsets)
	median := offsets[(len(offsets)-1)/2]
	was := c.ahead
	c.ahead = max(0, -median-c.maxSkew)
	if was > 0 || c.ahead == 0 {
		return false
	}
	c.clamps++
	if limit := wall - c.ahead; c.last.Nanos > limit {
		c.last = Timestamp{Nanos: limit}
	}
	return true
}

// Limit returns the newest timestamp that may stand now, given the wall clock's reading, and how
// often the clock was found to be too far ahead. When that number has grown, timestamps of this
// clock that are newer than the limit have to be replaced.
func (c *Clock) Limit(wall int64) (Timestamp, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Timestamp{Nanos: wall - c.ahead, Logical: math.MaxUint32}, c.clamps
}

// Stats counts how often the bound on clocks was met.
type Stats struct {
	Refused uint64        // timestamps of others that were too far ahead to be followed
	Clamps  uint64        // times that the own clock was found to be too far ahead
	Ahead   time.Duration // by how much timestamps are held back now
}

// Stats returns the counts.
func (c *Clock) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Refused: c.refused, Clamps: c.clamps, Ahead: time.Duration(c.ahead)}
}

func next(t Timestamp) Timestamp {
	if t.Logical == math.MaxUint32 {
		return Timestamp{Nanos: t.Nanos + 1}
	}
	return Timestamp{Nanos: t.Nanos, Logical: t.Logical + 1}
}

// Clone returns an independent copy.
func (c *Clock) Clone() *Clock {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Clock{
		maxSkew: c.maxSkew, last: c.last, peers: maps.Clone(c.peers),
		heard: c.heard, ahead: c.ahead, clamps: c.clamps, refused: c.refused,
	}
}
