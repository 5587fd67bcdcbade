package cachefile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/internal/codec"
	"github.com/snowfence/snowfence/cache/internal/hook"
)

// Loaded tells what Load has read.
type Loaded struct {
	Entries int       // that were stored
	Gone    int       // neither their TTL nor Options.StaleFor had time left
	Known   int       // whose key the cache had a value of, or that changed meanwhile
	Failed  int       // that could not be decoded
	Err     error     // why the first of these could not: an *EntryError, or nil
	Left    int       // that were not stored since there was no room, at most
	Bytes   int64     // that were read
	SavedAt time.Time // by the wall clock of the process that has saved the file
}

// Load stores the entries of a file that Save has written in c, as far as there is room: the
// hottest ones. It returns an error for which errors.Is(err, fs.ErrNotExist) is true if there is no
// file, as at the first start; a *[MismatchError] for a file that another program has written, and
// a *[DamageError] for one that is not whole. In the last case, and if ctx ends, what was read
// before is stored. After any error the cache works; it has fewer values.
//
// Load evicts nothing and replaces nothing: what c has, or stores while Load runs, is newer, and so
// is the result of a load that is under way. A key that is deleted or invalidated while Load runs
// is not stored. Load reads first, and then stores all at once, so that the hottest entries are
// evicted last; a caller that misses before loads its key. Load blocks until it is done, and is
// safe for concurrent use.
func Load[K comparable, V any](
	ctx context.Context, c *cache.Cache[K, V], path string, o Options[K, V],
) (Loaded, error) {
	if err := check(c, path, &o); err != nil {
		return Loaded{}, err
	}
	info, err := os.Stat(path) // before it is opened, since a pipe would block
	if err != nil {
		return Loaded{}, err
	}
	if !info.Mode().IsRegular() {
		return Loaded{}, &DamageError{Path: path, Reason: "no regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return Loaded{}, err
	}
	defer func() { _ = f.Close() }()
	if info, err = f.Stat(); err != nil {
		return Loaded{}, err
	}
	return load(ctx, c, f, info.Size(), path, o.withDefaults())
}

// load reads a file of that size, whose path is for errors.
func load[K comparable, V any](
	ctx context.Context, c *cache.Cache[K, V], file io.Reader, size int64, path string,
	o Options[K, V],
) (loaded Loaded, err error) {
	to := hook.SnapshotsOf[K, V](c)
	into := to.Restore()
	defer into.Close()
	r := reader[K, V]{
		Options: o, file: bufio.NewReaderSize(file, blockLen), size: size, path: path,
		into: into,
	}
	r.limit = cache.Forever
	err = r.header(to.TTL())
	for err == nil && !r.done {
		if err = ctx.Err(); err == nil {
			err = r.frame()
		}
	}
	r.loaded.Entries = into.Store()
	r.loaded.Known += r.fit - r.loaded.Entries
	r.loaded.Bytes = r.at
	if r.done && !r.whole {
		read := r.fit + r.loaded.Gone + r.loaded.Known + r.loaded.Failed
		r.loaded.Left = int(min(max(r.head.entries, uint64(read))-uint64(read), math.MaxInt32))
	}
	return r.loaded, err
}

// A reader reads the frames of a file.
type reader[K comparable, V any] struct {
	Options[K, V]
	file    *bufio.Reader
	size    int64
	at      int64 // the bytes read so far
	last    uint32
	path    string
	buffer  []byte
	head    header
	passed  time.Duration // since the file was saved
	limit   time.Duration // of the rest of a TTL
	into    hook.Restore[K, V]
	entries uint64 // so far
	fit     int    // into the cache
	done    bool   // nothing more is to be read
	whole   bool   // the end was reached
	loaded  Loaded
}

// damage returns the error of a file that is damaged at an offset.
func (r *reader[K, V]) damage(offset int64, reason string) error {
	return &DamageError{Path: r.path, Offset: offset, Size: r.size, Reason: reason}
}

// read fills b. It turns the end of the file into an error.
func (r *reader[K, V]) read(b []byte, begin int64) error {
	n, err := io.ReadFull(r.file, b)
	r.at += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damage(begin, "the file ends here, before its end")
	}
	return err
}

// next reads the next frame, which stays valid until the next call. skip is true if it exceeds
// MaxBytes.
func (r *reader[K, V]) next() (kind byte, payload []byte, skip bool, err error) {
	begin := r.at
	if r.buffer == nil {
		r.buffer = newFrame()
	}
	head := r.buffer[:frameHeadLen]
	if err := r.read(head, begin); err != nil {
		return 0, nil, false, err
	}
	length := int64(binary.LittleEndian.Uint32(head))
	switch {
	case length > maxPayload || head[8] < headerFrame || head[8] > endFrame:
		return 0, nil, false, r.damage(begin, "no frame")
	case length > r.size-r.at:
		return 0, nil, false, r.damage(begin, "the file ends in this frame")
	case length > r.MaxBytes-r.at && head[8] == blockFrame:
		return 0, nil, true, nil
	}
	frame := slices.Grow(r.buffer[:frameHeadLen], int(length))[:frameHeadLen+length]
	clear(frame[frameHeadLen:])
	if int64(cap(frame)) <= 2*blockLen {
		r.buffer = frame
	}
	if err := r.read(frame[frameHeadLen:], begin); err != nil {
		return 0, nil, false, err
	}
	sum := checksum(r.last, frame)
	if sum != binary.LittleEndian.Uint32(frame[4:]) {
		return 0, nil, false, r.damage(begin, "the checksum is wrong")
	}
	r.last = sum
	return frame[8], frame[frameHeadLen:], false, nil
}

// header reads all up to the first block, and refuses a file with other contents.
func (r *reader[K, V]) header(ttl time.Duration) error {
	want := preamble()
	have := make([]byte, len(want))
	if err := r.read(have, 0); err != nil {
		return err
	}
	if !bytes.Equal(have[:len(magic)], want[:len(magic)]) {
		return r.damage(0, "no file of package cachefile")
	}
	if !bytes.Equal(have, want) {
		version := binary.LittleEndian.Uint32(have[len(magic):])
		return r.mismatch("format", strconv.FormatUint(uint64(version), 10),
			strconv.Itoa(formatVersion))
	}
	r.last = crc32.Checksum(want, castagnoli)
	begin := r.at
	kind, payload, _, err := r.next()
	if err != nil {
		return err
	}
	if kind != headerFrame || r.head.parse(payload) != nil {
		return r.damage(begin, "no header")
	}
	for _, m := range []struct{ of, have, want string }{
		{"Options.Version", r.head.version, r.Version},
		{"keys", r.head.keys, contents(r.Key)},
		{"values", r.head.values, contents(r.Value)},
	} {
		if m.have != m.want {
			return r.mismatch(m.of, m.have, m.want)
		}
	}
	r.loaded.SavedAt = r.head.savedAt
	// If the clock went back, nobody knows how much time has passed.
	r.passed = max(0, r.now().Sub(r.head.savedAt))
	if ttl < r.head.ttl {
		r.limit = ttl
	}
	return nil
}

func (r *reader[K, V]) mismatch(of, have, want string) error {
	return &MismatchError{Path: r.path, Of: of, Have: have, Want: want}
}

// frame reads a frame after the header, and takes its entries. It sets done at the end, and where
// there is no room for more.
func (r *reader[K, V]) frame() error {
	begin := r.at
	kind, payload, skip, err := r.next()
	if skip || err != nil {
		r.done = skip
		return err
	}
	p := parser{rest: payload}
	switch kind {
	case blockFrame:
		for len(p.rest) > 0 && !r.done {
			if e := p.entry(); p.err == nil {
				r.entries++
				r.take(&e)
			}
		}
		if p.err != nil {
			return r.damage(begin, "the block is malformed")
		}
	case endFrame:
		if n := p.uvarint(); p.end() != nil || n != r.entries {
			return r.damage(begin, fmt.Sprintf("the end counts other entries than %d", r.entries))
		}
		if r.at != r.size {
			return r.damage(r.at, "the file goes on after its end")
		}
		r.done, r.whole = true, true
	default:
		return r.damage(begin, "a second header")
	}
	return nil
}

// take decodes an entry and adds it to those to be stored.
func (r *reader[K, V]) take(e *entry) {
	key, value, err := r.decode(e)
	if err != nil {
		r.loaded.Failed++
		if r.loaded.Err == nil {
			r.loaded.Err = err
		}
		return
	}
	switch r.into.Add(saved(e, key, value, r.passed, r.limit)) {
	case hook.Fits:
		r.fit++
		r.done = r.fit == r.MaxEntries
	case hook.Gone:
		r.loaded.Gone++
	case hook.Known:
		r.loaded.Known++
	case hook.TooHeavy:
		r.loaded.Left++
	case hook.Full:
		r.done = true
	}
}

// decode decodes an entry. The codecs may keep what they get, which is a copy, so that a small
// value does not keep its block in memory.
func (r *reader[K, V]) decode(e *entry) (key K, value V, err error) {
	key, err = codec.Decode(r.Key, bytes.Clone(e.key))
	if err != nil {
		return key, value, &EntryError{Err: fmt.Errorf("decode the key: %w", err)}
	}
	value, err = codec.Decode(r.Value, bytes.Clone(e.value))
	if err != nil {
		return key, value, &EntryError{Key: key, Err: fmt.Errorf("decode the value: %w", err)}
	}
	return key, value, nil
}
