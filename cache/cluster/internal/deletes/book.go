package deletes

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
)

// Bounds of a Book, besides Options.Max.
const (
	maxSpare      = 1024 // entries that are kept after all peers have applied them
	maxAbsent     = 64   // absentees
	maxHandedOver = 1024 // origins whose number is kept after they were handed over
)

// Kind says what a Delete deletes.
type Kind uint8

// The kinds of deletes.
const (
	Key Kind = iota // one key
	Tag             // all values that bear a tag
	All             // everything: a clear

	handover // stands for the deletes of an origin that is gone; see doc.go
	missed   // deletes that were forgotten before they came here; see doc.go
)

// A Delete says what to drop: see Options.Apply.
type Delete struct {
	Kind Kind
	Key  string // the key or the tag; of a handover the mark, see entry.handedOver; otherwise empty
}

// Options configures a Book. All fields are needed.
type Options struct {
	// Self is this node's incarnation: random, not 0.
	Self uint64

	// Max bounds the entries that are kept for nodes that lack them.
	Max int

	// Apply drops what the node has for the keys and tags of the deletes, or all that it has if one of
	// them is a clear. It forgets the loads under way for them: no value may be stored that bears one
	// of the tags and whose load began before. When it returns, this is done. It must not call the
	// Book.
	Apply func([]Delete)

	// Reset drops all that the node has, forgets the loads under way, and reports whether there was an
	// entry. It must not call the Book.
	Reset func() bool
}

// A mark names a delete: the seq-th of origin.
type mark struct{ origin, seq uint64 }

// An entry is a delete in the log of a node, which need not be its origin.
type entry struct {
	mark
	Delete
	previous uint64 // the number of the previous entry of its key, or for all keys; 0 if none
}

// handoverOf returns a handover for the deletes of an origin up to m.
func handoverOf(m mark) Delete {
	number := binary.LittleEndian.AppendUint64
	return Delete{handover, string(number(number(nil, m.origin), m.seq))}
}

// handedOver returns the mark that a handover stands for.
func (e entry) handedOver() mark {
	number := binary.LittleEndian.Uint64
	return mark{number([]byte(e.Key[:8])), number([]byte(e.Key[8:]))}
}

// An origin holds numbers of the deletes of one incarnation.
type origin struct {
	applied   uint64 // up to this number they were applied here
	handed    uint64 // up to this number an applied handover stands for them
	forgotten uint64 // the latest whose entry was dropped; 0 if a dropped handover has it
}

// A peer is another incarnation that this node exchanges deletes with.
type peer struct {
	node     string
	absent   uint64 // 0 of a member; of an absentee, a lower number vanished earlier
	left     bool   // it will not come back
	acked    uint64 // up to this number it has applied this node's log
	received uint64 // up to this number this node has applied its log
}

// A Book is one node's log of deletes, with its knowledge of the other nodes' logs. Its methods may
// be called by several goroutines at a time.
type Book struct {
	o                                  Options
	maxSpare, maxAbsent, maxHandedOver int // the constants; smaller in tests

	applying sync.Mutex // held while deletes are shown, applied and reported; before mu

	mu           sync.RWMutex      // guards what follows; never held while Apply or Reset run
	entries      []entry           // of the log, from number base+1
	base         uint64            // entries up to this one were dropped
	applied      uint64            // entries up to this one were applied
	latest       map[string]uint64 // the latest entry of each key
	latestForAll uint64            // the latest entry for all keys
	origins      map[uint64]*origin
	handedOver   []uint64 // origins that were handed over, the oldest first
	peers        map[uint64]*peer
	absentees    uint64 // counts the peers that became absentees
	stats        Stats
}

// New returns an empty Book. It panics if a needed option is missing.
func New(o Options) *Book {
	if o.Self == 0 || o.Apply == nil || o.Reset == nil || o.Max <= 0 {
		panic("deletes: New: all options are needed")
	}
	return &Book{
		o: o, maxSpare: maxSpare, maxAbsent: maxAbsent, maxHandedOver: maxHandedOver,
		latest: make(map[string]uint64), origins: make(map[uint64]*origin),
		peers: make(map[uint64]*peer),
	}
}

// Delete makes a delete of key, applies it here, and returns the number of its entry, for Reported.
// After shows the delete from the beginning; messages report it after it was applied.
func (b *Book) Delete(key string) uint64 { return b.record(Delete{Key, key}) }

// InvalidateTag deletes the values that bear tag, as Delete deletes a key.
func (b *Book) InvalidateTag(tag string) uint64 { return b.record(Delete{Tag, tag}) }

// Clear deletes everything, as Delete deletes a key.
func (b *Book) Clear() uint64 { return b.record(Delete{Kind: All}) }

func (b *Book) record(d Delete) uint64 {
	b.applying.Lock()
	defer b.applying.Unlock()
	b.mu.Lock()
	b.addOwn(d)
	b.mu.Unlock()
	b.o.Apply([]Delete{d})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.applyShown()
	b.trim()
	return b.applied
}

// lastShown returns the number of the latest entry. mu is held.
func (b *Book) lastShown() uint64 { return b.base + uint64(len(b.entries)) }

// origin returns what is known of the deletes of an incarnation, if anything. mu is held.
func (b *Book) origin(incarnation uint64) origin {
	if o := b.origins[incarnation]; o != nil {
		return *o
	}
	return origin{}
}

// note counts the deletes of an origin up to m as applied. mu is held.
func (b *Book) note(m mark) *origin {
	o := b.origins[m.origin]
	if o == nil {
		o = &origin{}
		b.origins[m.origin] = o
	}
	o.applied = max(o.applied, m.seq)
	return o
}

// noteHandover notes that a handover stands for the deletes of an origin, and returns the origin.
// mu is held.
func (b *Book) noteHandover(of mark) *origin {
	o := b.note(of)
	o.handed = max(o.handed, of.seq)
	if !slices.Contains(b.handedOver, of.origin) {
		b.handedOver = append(b.handedOver, of.origin)
	}
	return o
}

// add appends an entry to the log, so that After shows it. mu is held.
func (b *Book) add(e entry) {
	number := b.lastShown() + 1
	switch e.Kind {
	case Key:
		e.previous, b.latest[e.Key] = b.latest[e.Key], number
	case Tag, All, missed:
		e.previous, b.latestForAll = b.latestForAll, number
	}
	b.entries = append(b.entries, e)
}

// addOwn adds the next delete of this node. mu is held, and all entries are applied.
func (b *Book) addOwn(d Delete) {
	b.add(entry{mark: mark{b.o.Self, b.origin(b.o.Self).applied + 1}, Delete: d})
}

// applyShown counts all entries as applied. mu is held.
func (b *Book) applyShown() {
	for ; b.applied < b.lastShown(); b.applied++ {
		e := b.entries[b.applied-b.base]
		b.note(e.mark)
		switch {
		case e.Kind == handover:
			b.noteHandover(e.handedOver())
		case e.Kind != missed && e.origin != b.o.Self:
			b.stats.Applied++
		}
	}
}

// trim drops entries: those that no peer lacks, but for the latest ones; those that only absentees
// lack, above three quarters of Max; and any, above Max. mu is held.
func (b *Book) trim() {
	members, all := b.applied, b.applied
	for _, p := range b.peers {
		if all = min(all, p.acked); p.absent == 0 {
			members = min(members, p.acked)
		}
	}
	above := func(most int) uint64 { return b.lastShown() - uint64(min(len(b.entries), most)) }
	if len(b.entries) > b.maxSpare { // so that this is rare
		b.drop(min(all, above(b.maxSpare-b.maxSpare/8)))
	}
	b.drop(min(members, above(b.o.Max-b.o.Max/4)))
	b.drop(above(b.o.Max))
}

// drop drops the entries up to a number. mu is held.
func (b *Book) drop(upTo uint64) {
	for ; b.base < upTo; b.entries = b.entries[1:] {
		e := b.entries[0]
		b.entries[0] = entry{}
		b.base++
		b.note(e.mark).forgotten = e.seq
		switch {
		case e.Kind == Key && b.latest[e.Key] == b.base:
			delete(b.latest, e.Key)
		case e.Kind == handover:
			if o := b.noteHandover(e.handedOver()); o.forgotten <= e.handedOver().seq {
				o.forgotten = 0
			}
		}
	}
	for ; len(b.handedOver) > b.maxHandedOver; b.handedOver = b.handedOver[1:] {
		o := b.origin(b.handedOver[0])
		if b.handedOver[0] != b.o.Self && o.applied <= o.handed && o.forgotten == 0 {
			delete(b.origins, b.handedOver[0])
		}
	}
	if len(b.entries) == 0 {
		b.entries, b.latest = nil, make(map[string]uint64) // frees the memory
	}
}

// See replaces the members: incarnations by node name, without this node.
func (b *Book) See(members map[string]uint64) {
	b.applying.Lock()
	defer b.applying.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for node, incarnation := range members {
		if b.peers[incarnation] == nil {
			b.peers[incarnation] = &peer{}
		}
		b.peers[incarnation].node, b.peers[incarnation].absent = node, 0
	}
	for incarnation, p := range b.peers {
		if other, ok := members[p.node]; ok && other != incarnation {
			p.left = true // its node has restarted
		}
		if p.absent == 0 && members[p.node] != incarnation {
			b.markAbsent(p)
		}
	}
	b.forgetUnneeded(0, true)
}

// markAbsent makes a peer an absentee. mu is held.
func (b *Book) markAbsent(p *peer) {
	b.absentees++
	p.absent = b.absentees
}

// Left notes that an incarnation will not come back.
func (b *Book) Left(incarnation uint64) {
	b.applying.Lock()
	defer b.applying.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.peers[incarnation]; p != nil {
		p.left = true
		b.forgetUnneeded(0, true)
	}
}

// forgetUnneeded forgets the peers and entries that nobody needs. If there is no news (quiet), it
// also hands over the origins that are gone. That is up to the member with the lowest incarnation.
// If that member has everything and its message, which has just come, shows no handover, this node
// hands them over; from is the sender of the message, or 0. applying and mu are held.
func (b *Book) forgetUnneeded(from uint64, quiet bool) {
	var away, gone []uint64
	lowest, oldest := b.o.Self, uint64(0)
	for incarnation, p := range b.peers {
		switch {
		case p.absent == 0:
			lowest = min(lowest, incarnation)
		case !p.left:
			away = append(away, p.absent)
		}
	}
	if more := len(away) - b.maxAbsent; more > 0 {
		slices.Sort(away)
		oldest = away[more-1]
	}
	maps.DeleteFunc(b.peers, func(_ uint64, p *peer) bool {
		return p.absent > 0 && (p.left || p.absent <= oldest)
	})
	if quiet && (lowest == b.o.Self || lowest == from && b.peers[from].acked == b.applied) {
		for incarnation, o := range b.origins {
			if incarnation != b.o.Self && b.peers[incarnation] == nil && o.applied > o.handed {
				gone = append(gone, incarnation)
			}
		}
	}
	slices.Sort(gone)
	for _, incarnation := range gone {
		b.addOwn(handoverOf(mark{incarnation, b.origins[incarnation].applied}))
		b.applyShown()
	}
	b.trim()
}
