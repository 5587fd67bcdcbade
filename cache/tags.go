package cache

import (
	"slices"
	"sync"
	"sync/atomic"
)

// A tagSet holds the entries of a shard that bear a tag, in no order. The shard's lock
// guards it.
type tagSet[K comparable, V any] struct {
	tag     string
	entries []*entry[K, V]
}

// minTagRoom is the room below which the set of a tag does not shrink. It is small, since there can
// be as many tags as entries: many tags that each had many entries once must not keep that room.
const minTagRoom = 16

// A tagRef is the place of an entry in a tagSet.
type tagRef[K comparable, V any] struct {
	set *tagSet[K, V]
	pos int
}

// tag adds e, which is of kind tagged, to the sets of its tags. s.mu is held.
func (s *shard[K, V]) tag(e *entry[K, V], tags []string) {
	t := e.tagged()
	t.tags = make([]tagRef[K, V], 0, len(tags))
	for i, tag := range tags {
		if slices.Contains(tags[:i], tag) {
			continue
		}
		set := s.tags[tag]
		if set == nil {
			set = &tagSet[K, V]{tag: tag}
			if s.tags == nil {
				s.tags = make(map[string]*tagSet[K, V])
			}
			s.tags[tag] = set
		}
		t.tags = append(t.tags, tagRef[K, V]{set, len(set.entries)})
		set.entries = append(set.entries, e)
	}
}

// untag removes e, which is of kind tagged, from the sets of its tags. s.mu is held.
func (s *shard[K, V]) untag(e *entry[K, V]) {
	t := e.tagged()
	for _, ref := range t.tags {
		set := ref.set
		last := len(set.entries) - 1
		moved := set.entries[last]
		set.entries[ref.pos], set.entries[last] = moved, nil
		for i := range moved.tagged().tags {
			if r := &moved.tagged().tags[i]; r.set == set {
				r.pos = ref.pos
			}
		}
		set.entries = set.entries[:last]
		if last < cap(set.entries)/4 && cap(set.entries) > minTagRoom {
			set.entries = append(make([]*entry[K, V], 0, 2*last), set.entries...)
		}
		if last == 0 && s.tags[set.tag] == set {
			delete(s.tags, set.tag)
		}
	}
	t.tags = nil
	if len(s.tags) == 0 {
		s.tags = nil
	}
}

// tagsOf returns the tags of an entry. s.mu is held.
func tagsOf[K comparable, V any](e *entry[K, V]) []string {
	if e.kind() != tagged {
		return nil
	}
	refs := e.tagged().tags
	tags := make([]string, len(refs))
	for i := range refs {
		tags[i] = refs[i].set.tag
	}
	return tags
}

// tagsFor returns the tags of a value by Options.Tags. It calls a function of the user, so
// it is called without locks, and before a load has ended.
func (c *Cache[K, V]) tagsFor(key K, value V) []string {
	if c.tagger == nil {
		return nil
	}
	return c.tagger(key, value)
}

// InvalidateTag removes all entries that bear tag, stale ones too, as Delete does. A load
// that is under way does not store its result if that bears tag, and a Fetch that begins
// after InvalidateTag does not return it. An entry that is set while InvalidateTag runs may
// stay or go. It takes time in proportion to the entries that bear tag, and holds no lock for
// longer than a sweep does.
func (c *Cache[K, V]) InvalidateTag(tag string) {
	if c.tagger == nil {
		return
	}
	if c.second != nil { // before all else: a load that does not see this is older than the next line
		c.second.invalidate(tag)
	}
	c.invalidateTag(tag)
}

// invalidateTag does what InvalidateTag does, but for the second level.
func (c *Cache[K, V]) invalidateTag(tag string) {
	// Logged first: a load that stores its result before its shard's turn is removed then.
	c.invalidated.add(tag)
	for i := range c.shards {
		c.invalidateIn(&c.shards[i], tag)
	}
}

// invalidateIn removes the entries of s that bear tag, until s has none at one moment, so that
// none escapes by being replaced meanwhile.
func (c *Cache[K, V]) invalidateIn(s *shard[K, V], tag string) {
	for more := true; more; {
		var out evicted[K, V]
		s.mu.Lock()
		set := s.tags[tag]
		for range sweepBatch {
			if set == nil || len(set.entries) == 0 {
				break
			}
			c.end(s, set.entries[len(set.entries)-1], ReasonDeleted, &out)
		}
		more = s.tags[tag] != nil
		s.mu.Unlock()
		c.notify(out)
	}
}

// invalidationsKept bounds the invalidations that are remembered for the loads that began
// before them. A load that began before more of them, and whose result bears any tag, does not
// store it.
const invalidationsKept = 1024

// invalidations logs the tags that were invalidated last.
type invalidations struct {
	seq atomic.Uint32 // the number of invalidations, which may wrap; written with mu held

	mu   sync.Mutex // guards the following
	last []string   // a ring; the n-th is at n modulo invalidationsKept
}

func (l *invalidations) add(tag string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last = make([]string, invalidationsKept)
	}
	n := l.seq.Load()
	l.last[n%invalidationsKept] = tag
	l.seq.Store(n + 1)
}

// invalidatedSince reports whether any of tags was invalidated after invalidation number from.
func (c *Cache[K, V]) invalidatedSince(from uint32, tags []string) bool {
	return c.invalidated.between(from, c.invalidated.seq.Load(), tags)
}

// between reports whether any of tags was invalidated after invalidation number from, up to
// number to. If from is too old to be in the log, it returns true.
func (l *invalidations) between(from, to uint32, tags []string) bool {
	if from == to || len(tags) == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seq.Load()-from > invalidationsKept {
		return true
	}
	for n := from; n != to; n++ {
		if slices.Contains(tags, l.last[n%invalidationsKept]) {
			return true
		}
	}
	return false
}
