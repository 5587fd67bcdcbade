package cachefile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/internal/codec"
	"github.com/snowfence/snowfence/cache/internal/hook"
)

// Saved tells what Save has written.
type Saved struct {
	Entries int   // in the file
	Bytes   int64 // of the file
	Left    int   // entries that were left out, since there was no room
	Failed  int   // entries that were left out, since they could not be encoded
	Err     error // why the first of these could not: an *EntryError, or nil
}

// Save writes the entries of c to a file, the hottest first, for Load. It replaces the file at
// path, if there is one, once the new file is whole and on the disk: if Save fails, or the process
// or the machine dies at any time, the older file is still there. It returns the error of ctx if
// that ends before, cache.ErrClosed after c.Close, an *[OptionError], or an error of the file
// system.
//
// c may be in use meanwhile. A value that is stored or removed while Save runs may be in the file
// or not. Save blocks until it is done; it waits for no load, and holds the lock of a part of
// c for about as long as it takes to copy a pointer for each of that part's entries. It is safe
// for concurrent use: of several Saves to one path, in one process or in several, the one that ends
// last counts.
func Save[K comparable, V any](
	ctx context.Context, c *cache.Cache[K, V], path string, o Options[K, V],
) (Saved, error) {
	if err := check(c, path, &o); err != nil {
		return Saved{}, err
	}
	o = o.withDefaults()
	from := hook.SnapshotsOf[K, V](c)
	head := header{
		savedAt: o.now(), ttl: from.TTL(), version: o.Version,
		nonce: rand.Uint64(), //nolint:gosec // no secret
		keys:  contents(o.Key), values: contents(o.Value),
	}
	entries, n, err := from.Snapshot()
	if err != nil {
		return Saved{}, err
	}
	head.entries = uint64(n) //nolint:gosec // not negative

	file, err := replace(path)
	if err != nil {
		return Saved{}, err
	}
	defer file.discard()
	frames, err := newFrameWriter(o.wrap(file))
	if err != nil {
		return Saved{}, err
	}
	if err := frames.write(headerFrame, head.append(newFrame())); err != nil {
		return Saved{}, err
	}
	w := writer[K, V]{Options: o, ctx: ctx, frames: frames, block: newFrame()}
	for e := range entries {
		if more, err := w.add(e); err != nil {
			return Saved{}, err
		} else if !more {
			w.saved.Left = n - w.saved.Entries - w.saved.Failed
			break
		}
	}
	if err := w.end(); err != nil {
		return Saved{}, err
	}
	o.trace("written")
	w.saved.Bytes = frames.n
	if err := file.keep(o.trace); err != nil {
		return Saved{}, err
	}
	return w.saved, nil
}

// check checks the arguments of Save and Load.
func check[K comparable, V any](c *cache.Cache[K, V], path string, o *Options[K, V]) error {
	switch {
	case c == nil:
		return &OptionError{"cache", "nil", "a cache"}
	case path == "":
		return &OptionError{"path", `""`, "the path of a file"}
	}
	return o.validate()
}

// A writer writes entries in blocks.
type writer[K comparable, V any] struct {
	Options[K, V]
	ctx    context.Context
	frames *frameWriter
	block  []byte // a frame
	saved  Saved
}

// endLen is the greatest length of the end frame.
const endLen = frameHeadLen + 10

// roomDivisor sets the room, as a fraction of MaxBytes, that is worth searching for an entry that
// fits.
const roomDivisor = 32

// add adds an entry. more is false if there is no room for it, nor for later ones.
func (w *writer[K, V]) add(e hook.Saved[K, V]) (more bool, err error) {
	if w.MaxEntries > 0 && w.saved.Entries >= w.MaxEntries {
		return false, nil
	}
	encoded, err := w.encode(e)
	if err != nil {
		w.saved.Failed++
		if w.saved.Err == nil {
			w.saved.Err = &EntryError{e.Key, err}
		}
		return true, nil
	}
	before := len(w.block)
	w.block = appendEntry(w.block, encoded)
	if room := w.MaxBytes - w.frames.n - endLen; int64(len(w.block)) > room {
		w.block = w.block[:before]
		w.saved.Left++
		return room-int64(before) > w.MaxBytes/roomDivisor, nil
	}
	w.saved.Entries++
	if len(w.block) < blockLen {
		return true, nil
	}
	return true, w.flush()
}

// flush writes the block, and returns the error of ctx if that has ended.
func (w *writer[K, V]) flush() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if len(w.block) == frameHeadLen {
		return nil
	}
	err := w.frames.write(blockFrame, w.block)
	if w.block = w.block[:frameHeadLen]; cap(w.block) > 2*blockLen {
		w.block = newFrame()
	}
	return err
}

// end writes what is left, and the end frame.
func (w *writer[K, V]) end() error {
	if err := w.flush(); err != nil {
		return err
	}
	p := binary.AppendUvarint(newFrame(), uint64(w.saved.Entries)) //nolint:gosec // not negative
	return w.frames.write(endFrame, p)
}

var (
	errKeyDiffers = errors.New("the codec does not give back the key as it was")
	errTooLong    = fmt.Errorf("longer than %d MiB", maxEntry>>20)
)

// maxEntry bounds an encoded entry, so that a block with it has at most maxPayload.
const maxEntry = maxPayload - 2*blockLen

// encode encodes an entry. It checks that its key can be decoded: what can't would be a wrong value
// for another key.
func (w *writer[K, V]) encode(e hook.Saved[K, V]) (*entry, error) {
	key, err := codec.Encode(w.Key, e.Key)
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	back, err := codec.Decode(w.Key, bytes.Clone(key))
	if err != nil || back != e.Key {
		return nil, errors.Join(errKeyDiffers, err)
	}
	value, err := codec.Encode(w.Value, e.Value)
	if err != nil {
		return nil, fmt.Errorf("encode the value: %w", err)
	}
	if len(key)+len(value) > maxEntry {
		return nil, errTooLong
	}
	return &entry{rest: e.Rest, age: e.Age, count: uint64(e.Count), key: key, value: value}, nil
}
