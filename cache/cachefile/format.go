package cachefile

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/internal/hook"
)

// A file is the magic, the format's version in four bytes, and frames: a header, blocks of entries
// and an end. All fixed numbers are little-endian.
//
//	frame:  length of the payload (4), checksum (4), kind (1), payload
//	header: the time of the save, a random number (8), Options.TTL, the number of entries at most,
//	        Options.Version, the contents of keys and values
//	block:  entries
//	entry:  flags (1), the rest of the TTL, the age, the count, key, value
//	end:    the number of entries
//
// The checksum of a frame is CRC-32C, begun with the checksum of the frame before it. So a block
// counts only in its place, after the header of its own save: one that is left from an older
// file, as after a crash of the machine, does not. The end frame tells a whole file from one that
// was cut between two blocks.
const (
	magic         = "snowfile"
	formatVersion = 1

	preambleLen  = len(magic) + 4
	frameHeadLen = 9

	maxText = 1 << 10 // of a text in the header

	// blockLen is the length at which a block is written.
	blockLen = 64 << 10
	// maxPayload bounds a frame's payload, and so the memory that a reader needs. A block is longer
	// than blockLen only if its last entry is.
	maxPayload = 64 << 20
)

// The kinds of frames.
const (
	headerFrame = iota + 1
	blockFrame
	endFrame
)

// The flags of an entry.
const (
	expires  = 1 << iota // the rest of the TTL follows
	hasAge               // the age follows
	allFlags = expires | hasAge
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the checksum of a frame after one with the checksum last. frame is the whole
// frame, the checksum in it does not count.
func checksum(last uint32, frame []byte) uint32 {
	sum := crc32.Update(last, castagnoli, frame[:4])
	return crc32.Update(sum, castagnoli, frame[8:])
}

// preamble returns the bytes before the first frame.
func preamble() []byte { return binary.LittleEndian.AppendUint32([]byte(magic), formatVersion) }

// A frameWriter writes frames.
type frameWriter struct {
	w    io.Writer
	last uint32 // the checksum of the last frame
	n    int64  // bytes written
}

// newFrameWriter writes the preamble.
func newFrameWriter(w io.Writer) (*frameWriter, error) {
	p := preamble()
	_, err := w.Write(p)
	return &frameWriter{w: w, last: crc32.Checksum(p, castagnoli), n: int64(len(p))}, err
}

// write writes a frame. It is the whole frame, but its head is free.
func (w *frameWriter) write(kind byte, frame []byte) error {
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-frameHeadLen)) //nolint:gosec // bounded
	frame[8] = kind
	w.last = checksum(w.last, frame)
	binary.LittleEndian.PutUint32(frame[4:], w.last)
	w.n += int64(len(frame))
	_, err := w.w.Write(frame)
	return err
}

// newFrame returns an empty frame, whose head is free.
func newFrame() []byte { return make([]byte, frameHeadLen, frameHeadLen+blockLen) }

// A header holds what a file says of itself.
type header struct {
	savedAt time.Time
	nonce   uint64 // so that two files have no checksum in common
	ttl     time.Duration
	entries uint64 // at most
	version string
	keys    string
	values  string
}

func (h *header) append(b []byte) []byte {
	b = binary.AppendVarint(b, h.savedAt.UnixNano())
	b = binary.LittleEndian.AppendUint64(b, h.nonce)
	b = binary.AppendVarint(b, int64(h.ttl))
	b = binary.AppendUvarint(b, h.entries)
	for _, text := range []string{h.version, h.keys, h.values} {
		b = appendBytes(b, []byte(text))
	}
	return b
}

func (h *header) parse(b []byte) error {
	p := parser{rest: b}
	h.savedAt = time.Unix(0, p.varint())
	h.nonce = p.fixed64()
	h.ttl = time.Duration(p.varint())
	h.entries = p.uvarint()
	h.version, h.keys, h.values = string(p.bytes()), string(p.bytes()), string(p.bytes())
	return p.end()
}

// An entry is an entry of a file. Its key and value are encoded.
type entry struct {
	rest  time.Duration // of the TTL when the file was saved, as in hook.Saved
	age   time.Duration
	count uint64
	key   []byte
	value []byte
}

func appendEntry(b []byte, e *entry) []byte {
	at := len(b)
	b = append(b, 0)
	if e.rest != cache.Forever {
		b[at] |= expires
		b = binary.AppendVarint(b, int64(e.rest))
	}
	if e.age >= 0 {
		b[at] |= hasAge
		b = binary.AppendUvarint(b, uint64(e.age))
	}
	b = binary.AppendUvarint(b, e.count)
	return appendBytes(appendBytes(b, e.key), e.value)
}

func appendBytes(b, data []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

// A parser reads from the bytes of a payload. After a failure its methods return zeros.
type parser struct {
	rest []byte
	err  error
}

// entry parses the next entry, which refers to the parser's bytes.
func (p *parser) entry() (e entry) {
	e.rest, e.age = cache.Forever, cache.AgeUnknown
	flags := p.byte()
	if flags&^allFlags != 0 {
		p.fail()
	}
	if flags&expires != 0 {
		e.rest = time.Duration(p.varint())
	}
	if flags&hasAge != 0 {
		e.age = time.Duration(min(p.uvarint(), math.MaxInt64)) //nolint:gosec // bounded
	}
	e.count = p.uvarint()
	e.key, e.value = p.bytes(), p.bytes()
	return e
}

// saved returns what a hook.Restore needs of e, for a file that was saved passed ago.
func saved[K comparable, V any](e *entry, key K, value V, passed, atMost time.Duration,
) hook.Saved[K, V] {
	s := hook.Saved[K, V]{
		Key: key, Value: value, Rest: e.rest, Age: passed,
		Count: uint32(min(e.count, math.MaxUint8)), //nolint:gosec // bounded
	}
	if e.rest != cache.Forever {
		s.Rest = max(e.rest, passed-cache.Forever) - passed
	}
	s.Rest = min(s.Rest, atMost)
	if e.age >= 0 {
		s.Age = min(e.age, cache.Forever-passed) + passed
	}
	return s
}

var errMalformed = errors.New("malformed")

func (p *parser) fail() { p.rest, p.err = nil, errMalformed }

// end returns an error if there was a failure, or if bytes are left.
func (p *parser) end() error {
	if len(p.rest) > 0 {
		p.fail()
	}
	return p.err
}

func (p *parser) take(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.fail()
		return nil
	}
	taken := p.rest[:n:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) fixed64() uint64 {
	if b := p.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.rest)
	if n <= 0 {
		p.fail()
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.fail()
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) bytes() []byte { return p.take(p.uvarint()) }
