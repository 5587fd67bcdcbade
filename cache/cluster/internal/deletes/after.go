package deletes

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// An index has what After returns, ready to be sent.
//
// Who changes both parts puts in what stands for more (common) before it takes out what that stands for (keys), and
// who reads them reads keys first. So a delete is never missed in between.
type index struct {
	mu   sync.RWMutex      // guards keys; never held while something else is called
	keys map[string][]byte // the IDs of the deletes of a key

	size   atomic.Int64           // of keys
	common atomic.Pointer[[]byte] // of what must be applied for all keys: clears and floors; nil if there is none
}

func (x *index) after(key string) []byte {
	var ids []byte
	if x.size.Load() != 0 {
		x.mu.RLock()
		ids = x.keys[key]
		x.mu.RUnlock()
	}
	common := x.common.Load()
	switch {
	case common == nil:
		return ids
	case ids == nil:
		return *common
	}
	return slices.Concat(ids, (*common)[1:])
}

// set makes ids what there is for key.
func (x *index) set(key string, ids []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ids == nil {
		delete(x.keys, key)
		if len(x.keys) == 0 { // give the memory back
			x.keys = make(map[string][]byte)
		}
	} else {
		x.keys[key] = ids
	}
	x.size.Store(int64(len(x.keys)))
}

// reset takes out all keys.
func (x *index) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.keys = make(map[string][]byte)
	x.size.Store(0)
}

// What must have been applied, in After.
const (
	afterVersion = 1

	afterKey   = 1 // the delete of the key
	afterClear = 2 // a clear, which stands for all deletes up to it
	afterFloor = 3 // all deletes up to it

	afterItem = 1 + 8 + 1 // bytes, at least
)

func appendItem(b []byte, kind byte, id ID) []byte {
	if len(b) == 0 {
		b = append(b, afterVersion)
	}
	return binary.AppendUvarint(binary.LittleEndian.AppendUint64(append(b, kind), id.Run), id.Seq)
}

// showKey makes what is kept of a key visible to After.
func (l *Log) showKey(key string) {
	var ids []byte
	for _, x := range l.keys[key] {
		ids = appendItem(ids, afterKey, x.ID)
	}
	l.index.set(key, ids)
}

// showCommon makes clears and floors visible to After.
func (l *Log) showCommon() {
	var ids []byte
	for _, id := range slices.Sorted(maps.Keys(l.runs)) {
		switch r := l.runs[id]; {
		case r.clear != nil:
			ids = appendItem(ids, afterClear, r.clear.ID)
		case r.floor != 0:
			ids = appendItem(ids, afterFloor, ID{id, r.floor})
		}
	}
	if ids == nil {
		l.index.common.Store(nil)
	} else {
		l.index.common.Store(&ids)
	}
}

// An item is a part of After.
type item struct {
	kind byte
	id   ID
}

// nextItem takes the first item off b.
func nextItem(b []byte) (it item, rest []byte, err error) {
	if len(b) < afterItem {
		return item{}, nil, malformed("%d bytes left, an ID has at least %d", len(b), afterItem)
	}
	it.kind = b[0]
	it.id.Run = binary.LittleEndian.Uint64(b[1:])
	seq, n := uvarint(b[9:])
	if it.id.Seq = seq; n <= 0 || !it.id.valid() || it.kind < afterKey || it.kind > afterFloor {
		return item{}, nil, malformed("no ID that can be: % x", b[:min(len(b), 20)])
	}
	return it, b[9+n:], nil
}

// Require applies what After returned on another node for key, as far as that has not been done here. When it
// returns nil, all of it has been, also if another goroutine was at it. Otherwise after makes no sense, the error
// is [ErrMalformed], and nothing was done.
func (l *Log) Require(key string, after []byte) error {
	if len(after) == 0 {
		return nil
	}
	if len(after) > MaxAfter || len(key) > MaxKey {
		return malformed("key of %d bytes and IDs of %d, want at most %d and %d",
			len(key), len(after), MaxKey, MaxAfter)
	}
	if after[0] != afterVersion {
		return malformed("IDs of version %d, want %d", after[0], afterVersion)
	}
	lacking, err := l.lacking(after[1:])
	if err != nil || !lacking {
		return err
	}
	var w wanted
	for rest := after[1:]; len(rest) > 0; {
		var it item
		if it, rest, err = nextItem(rest); err != nil {
			return err
		}
		switch now := l.now(); it.kind {
		case afterKey:
			w.entries = append(w.entries, dated{Entry{ID: it.id, Key: key}, now})
		case afterClear:
			w.entries = append(w.entries, dated{Entry{ID: it.id, All: true}, now})
		case afterFloor:
			w.floors = append(w.floors, dated{Entry{ID: it.id, All: true}, now})
		}
	}
	l.bring(w)
	l.tidy()
	return nil
}

// lacking reports whether some of the items are not applied yet, having checked them all.
func (l *Log) lacking(items []byte) (lacking bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(items) > 0 {
		var it item
		if it, items, err = nextItem(items); err != nil {
			return false, err
		}
		if err := l.own(it.id); err != nil {
			return false, err
		}
		r := l.runs[it.id.Run]
		done := r != nil && (it.id.Seq <= r.applied || it.kind == afterKey && r.covers(it.id.Seq))
		lacking = lacking || !done
	}
	return lacking, nil
}
