package deletes

import (
	"maps"
	"slices"
	"sync"
)

// Bounds of a Book.
const (
	// DefaultMax bounds the deletes that a Book keeps where Options.Max is not set.
	DefaultMax = 64 << 10

	maxSpare    = 1024 // deletes that are kept although all have applied them
	maxAway     = 64   // absentees, and origins that have left for which absentees are waited for
	maxDeparted = 1024 // origins that have left for which members are waited for

	handedPerDeparted = 4 // so many times maxDeparted origins are known to be handed over
)

// Kind says what a Delete deletes.
type Kind uint8

// The kinds of deletes.
const (
	Key Kind = iota // one key
	Tag             // all values that bear a tag
	All             // everything: a clear

	handover // the deletes of an origin that has left were applied: see doc.go
)

// A Delete is what Options.Apply is given.
type Delete struct {
	Kind Kind
	Key  string // the key or the tag; empty with All; an encoded mark with handover
}

// Options configure a Book. All but Max are needed.
type Options struct {
	// Self is this node's incarnation: random, not 0.
	Self uint64

	// Max bounds the deletes that are kept for nodes that lack them; 0 means DefaultMax.
	Max int

	// Apply drops what the node has for the keys and tags of the deletes, or all that it has if one
	// of them is a clear, and forgets the loads under way for them. No value may be kept that bears
	// one of the tags and whose load began before. It has done so when it returns. It must not call
	// the Book.
	Apply func([]Delete)

	// Reset drops all that the node has and forgets the loads under way, and reports whether
	// anything was there. It must not call the Book.
	Reset func() bool
}

// A chapter is what is known of the deletes of one origin, which has numbered them from 1.
type chapter struct {
	base     uint64            // the details up to this one are forgotten
	applied  uint64            // all up to this one were applied here
	items    []Delete          // those from base+1; past applied only while they are being applied
	latest   map[string]uint64 // the number of the latest item of each key
	wide     uint64            // the number of the latest tag or clear
	handover uint64            // the number of the latest handover

	endedElsewhere bool // another node has handed it over
}

// shown returns the number of the latest delete.
func (c *chapter) shown() uint64 { return c.base + uint64(len(c.items)) }

// A peer is another incarnation that this node exchanges deletes with.
type peer struct {
	node      string            // "" until it was seen
	away      bool              // an absentee: it is not a member now
	left      bool              // it will not come back
	reported  map[uint64]uint64 // by origin: the highest number that it has reported as applied
	floor     map[uint64]uint64 // by origin: the number of a handover of what it may lack
	mentioned []uint64          // origins that its last message was about: it is told of these
	current   uint64            // it lacked nothing when Book.version was this
	theirs    uint64            // the version of its vector that was merged here
	ours      uint64            // the version of this node's vector that was merged there
}

// of returns the number that p has reported of an origin; 0 if p is nil.
func (p *peer) of(origin uint64) uint64 {
	if p == nil {
		return 0
	}
	return p.reported[origin]
}

// A mark names a delete: the seq-th of origin.
type mark struct{ origin, seq uint64 }

// A handed says where the deletes of an origin up to one were handed over: in the delete `in`.
type handed struct {
	upTo uint64
	in   mark
}

// A Book is one node's book of deletes: which there are, which were applied here, and which have
// been reported by which peer. Its methods may be called at the same time.
type Book struct {
	o           Options
	maxSpare    int // the constants, smaller in tests
	maxAway     int
	maxDeparted int

	applying sync.Mutex // held while deletes are shown, applied and reported; before mu

	mu       sync.RWMutex // guards what follows; never held while Apply or Reset run
	version  uint64       // counts the changes of what is shown or applied
	kept     int          // items of all chapters
	own      *chapter
	chapters map[uint64]*chapter // by origin; own is one of them
	peers    map[uint64]*peer    // members and absentees
	absent   []uint64            // the absentees, the oldest first
	elders   map[uint64]bool     // the members that were there before this node; nil before See
	handed   map[uint64]handed   // by origin
	handings []uint64            // its keys, the oldest first

	applied, resets uint64 // for Stats
}

// New makes a Book. It panics if Options lack what is needed.
func New(o Options) *Book {
	if o.Self == 0 || o.Apply == nil || o.Reset == nil || o.Max < 0 {
		panic("deletes: New: Self, Apply and Reset are needed, and Max can't be negative")
	}
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	own := &chapter{}
	return &Book{
		o: o, maxSpare: maxSpare, maxAway: maxAway, maxDeparted: maxDeparted,
		version: 1, own: own, chapters: map[uint64]*chapter{o.Self: own},
		peers: make(map[uint64]*peer), handed: make(map[uint64]handed),
	}
}

// Delete makes a delete of key, applies it here, and returns its number. After shows it from the
// beginning, and messages report it when it has been applied.
func (b *Book) Delete(key string) uint64 { return b.make(Delete{Key, key}) }

// InvalidateTag does for the values that bear tag what Delete does for a key.
func (b *Book) InvalidateTag(tag string) uint64 { return b.make(Delete{Tag, tag}) }

// Clear does for everything what Delete does for a key.
func (b *Book) Clear() uint64 { return b.make(Delete{Kind: All}) }

func (b *Book) make(d Delete) uint64 {
	b.applying.Lock()
	defer b.applying.Unlock()
	b.mu.Lock()
	b.add(b.own, d)
	seq := b.own.shown()
	b.version++
	b.mu.Unlock()
	b.o.Apply([]Delete{d})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.own.applied = seq
	b.version++
	b.bound()
	return seq
}

// add appends an item to a chapter, which shows it. mu is held.
func (b *Book) add(c *chapter, d Delete) {
	c.items = append(c.items, d)
	b.kept++
	switch seq := c.shown(); d.Kind {
	case Key:
		if c.latest == nil {
			c.latest = make(map[string]uint64)
		}
		c.latest[d.Key] = seq
	case Tag, All:
		c.wide = seq
	case handover:
		c.handover = seq
	}
}

// drop forgets the details of a chapter up to a number, which shown may be below. mu is held.
func (b *Book) drop(c *chapter, upTo uint64) {
	for len(c.items) > 0 && c.base < upTo {
		c.base++
		b.kept--
		if x := &c.items[0]; x.Kind == Key && c.latest[x.Key] == c.base {
			delete(c.latest, x.Key)
		}
		c.items[0] = Delete{}
		c.items = c.items[1:]
	}
	if len(c.items) == 0 {
		c.items, c.latest = nil, nil // gives the memory back
	}
	c.base = max(c.base, upTo)
}

// trim forgets the details that all peers have, but for some. mu is held.
func (b *Book) trim() {
	if b.kept <= b.maxSpare {
		return
	}
	for _, origin := range slices.Sorted(maps.Keys(b.chapters)) {
		c := b.chapters[origin]
		// Some more than it must, so that this is seldom.
		upTo := min(c.applied, c.base+uint64(max(0, b.kept-b.maxSpare+b.maxSpare/8)))
		for incarnation, p := range b.peers {
			if incarnation != origin {
				upTo = min(upTo, p.reported[origin])
			}
		}
		b.drop(c, upTo)
	}
}

// bound forgets details of the longest chapters while there are too many: so an origin that makes
// many deletes does not push out those of others. mu is held.
func (b *Book) bound() {
	for b.kept > b.o.Max {
		longest := b.own
		for _, origin := range slices.Sorted(maps.Keys(b.chapters)) {
			if c := b.chapters[origin]; len(c.items) > len(longest.items) {
				longest = c
			}
		}
		b.drop(longest, longest.base+1)
	}
}

// lacking returns the peers that have not reported a delete. mu is held.
func (b *Book) lacking(m mark) (members, absentees []*peer) {
	for incarnation, p := range b.peers {
		switch {
		case incarnation == m.origin || p.reported[m.origin] >= m.seq:
		case p.away:
			absentees = append(absentees, p)
		default:
			members = append(members, p)
		}
	}
	return members, absentees
}

// See takes note of the members, incarnations by node name, without this node. The first call says
// who was there before this node.
func (b *Book) See(members map[string]uint64) {
	b.applying.Lock()
	defer b.applying.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	here := make(map[uint64]bool, len(members))
	for node, incarnation := range members {
		here[incarnation] = true
		p := b.count(incarnation)
		p.node, p.away = node, false
	}
	if b.elders == nil {
		b.elders = maps.Clone(here)
	}
	for incarnation, p := range b.peers {
		if other, ok := members[p.node]; ok && other != incarnation {
			p.left = true // its node has started anew
		}
		if !here[incarnation] && !p.away {
			p.away = true
			b.absent = append(b.absent, incarnation)
		}
	}
	b.forgetAbsentees()
	b.settle()
}

// Left says that an incarnation will not come back.
func (b *Book) Left(incarnation uint64) {
	b.applying.Lock()
	defer b.applying.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.peers[incarnation]; p != nil {
		p.left = true
		b.forgetAbsentees()
		b.settle()
	}
}

// count returns the peer of an incarnation, and makes it if need be. mu is held.
func (b *Book) count(incarnation uint64) *peer {
	p := b.peers[incarnation]
	if p == nil {
		p = &peer{reported: make(map[uint64]uint64), floor: make(map[uint64]uint64)}
		for origin, c := range b.chapters {
			if c.handover > 0 {
				p.floor[origin] = c.handover
			}
		}
		b.peers[incarnation] = p
	}
	return p
}

// forgetAbsentees removes those that will not come back and, if there are too many, the oldest. mu
// is held.
func (b *Book) forgetAbsentees() {
	b.absent = slices.DeleteFunc(b.absent, func(incarnation uint64) bool {
		p := b.peers[incarnation]
		if p.away && p.left {
			delete(b.peers, incarnation)
		}
		return !p.away || p.left
	})
	for len(b.absent) > b.maxAway {
		delete(b.peers, b.absent[0])
		b.absent = b.absent[1:]
	}
}

// settle ends the chapters of origins that have left once all have applied them, and forgets what
// nobody needs. applying and mu are held.
func (b *Book) settle() {
	var departed []uint64
	for origin := range b.chapters {
		if origin != b.o.Self && b.peers[origin] == nil {
			departed = append(departed, origin)
		}
	}
	slices.Sort(departed)
	for i, origin := range departed {
		rest := len(departed) - i
		c := b.chapters[origin]
		members, absentees := b.lacking(mark{origin, c.applied})
		forced := rest > b.maxDeparted
		if forced || len(members) == 0 && (len(absentees) == 0 || rest > b.maxAway) {
			b.handOver(origin, append(members, absentees...), forced)
		}
	}
	b.trim()
	b.bound()
}

// handOver ends a chapter if there is a delete that stands for it, or if this node is to make it:
// because it is the eldest, has missed that another one did, or can't wait. The peers in lacking
// may lack something of the chapter. applying and mu are held.
func (b *Book) handOver(origin uint64, lacking []*peer, forced bool) {
	upTo := b.chapters[origin].applied
	in, ok := b.standsFor(mark{origin, upTo})
	if !ok {
		if !forced && !b.eldest() && !b.chapters[origin].endedElsewhere {
			return
		}
		b.add(b.own, Delete{handover, encodeMark(mark{origin, upTo})})
		b.own.applied = b.own.shown()
		in = mark{b.o.Self, b.own.applied}
		b.hand(mark{origin, upTo}, in)
		b.version++
	}
	for _, p := range lacking {
		p.floor[in.origin] = max(p.floor[in.origin], in.seq)
	}
	b.end(origin)
}

// standsFor returns the delete that an origin's deletes up to m were handed over in. mu is held.
func (b *Book) standsFor(m mark) (in mark, ok bool) {
	for range b.handed {
		h := b.handed[m.origin]
		if h.upTo < m.seq {
			break
		}
		if b.chapters[h.in.origin] != nil {
			return h.in, true
		}
		m = h.in // it was handed over too
	}
	return mark{}, false
}

// hand notes what an origin was handed over in. mu is held.
func (b *Book) hand(m, in mark) {
	old, again := b.handed[m.origin]
	if old.upTo > m.seq || old.upTo == m.seq && b.chapters[old.in.origin] != nil {
		return
	}
	if !again {
		b.handings = append(b.handings, m.origin)
	}
	b.handed[m.origin] = handed{m.seq, in}
	if len(b.handings) > handedPerDeparted*b.maxDeparted {
		delete(b.handed, b.handings[0])
		b.handings = b.handings[1:]
	}
}

// end removes a chapter. Peers that lacked nothing lack nothing without it. mu is held.
func (b *Book) end(origin uint64) {
	b.kept -= len(b.chapters[origin].items)
	delete(b.chapters, origin)
	b.version++
	for _, p := range b.peers {
		delete(p.reported, origin)
		delete(p.floor, origin)
		if p.current == b.version-1 {
			p.current = b.version
		}
	}
}

// eldest reports whether no member was there before this node. mu is held.
func (b *Book) eldest() bool {
	for incarnation := range b.elders {
		if p := b.peers[incarnation]; p != nil && !p.away {
			return false
		}
	}
	return b.elders != nil
}
