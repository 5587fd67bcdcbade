// Package envelope has the format in which package cache keeps a value in its second level.
//
//	offset  bytes
//	     0      3  "SFR"
//	     3      1  version of the format: 1
//	     4      4  CRC-32C of the key and of all that follows
//	     8      1  flags; 1: the key has no record
//	     9      8  time at which the value was stored, in µs of the storage's clock
//	    17      8  TTL in µs, 0: no end
//	    25      8  time past the TTL for which the value may be given, in µs
//	    33      8  version of the log of invalidations before which the load began
//	    41      1  length of the codec's name, which follows
//	            2  number of tags
//	               for each tag: 2 bytes of length, and the tag
//	               the encoded value
//
// Numbers are little-endian. There is one encoding of each Record: Decode refuses all others.
package envelope

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// A Record is what an envelope holds.
type Record struct {
	NotFound bool          // the key has no record; Codec and Value are empty
	StoredAt int64         // in µs of the storage's clock
	TTL      time.Duration // in whole µs; 0: no end
	StaleFor time.Duration // in whole µs
	Version  uint64        // of the log, before the load of the value began
	Codec    string        // the name of the codec of Value
	Tags     []string
	Value    []byte
}

const (
	magic   = "SFR\x01"
	covered = 8 // the checksum covers the bytes from here on
	fixed   = 42

	flagNotFound = 1
)

// Bounds of a Record. Append refuses what exceeds them.
const (
	MaxCodec = math.MaxUint8
	MaxTags  = math.MaxUint16
	MaxTag   = math.MaxUint16
)

// The errors of Decode.
var (
	ErrForeign = errors.New("envelope: not of this format")
	ErrGarbage = errors.New("envelope: garbage")
)

var table = crc32.MakeTable(crc32.Castagnoli)

// Append appends the envelope of r for key to data. It returns an error if r exceeds the bounds or
// has a negative time.
func Append(data []byte, key string, r *Record) ([]byte, error) {
	switch {
	case len(r.Codec) > MaxCodec:
		return data, fmt.Errorf("envelope: the codec's name has %d bytes", len(r.Codec))
	case len(r.Tags) > MaxTags:
		return data, fmt.Errorf("envelope: %d tags", len(r.Tags))
	case r.TTL < 0 || r.StaleFor < 0 || r.StoredAt < 0:
		return data, errors.New("envelope: a negative time")
	case r.NotFound && (r.Codec != "" || len(r.Value) > 0):
		return data, errors.New("envelope: a value of a missing record")
	}
	begin := len(data)
	data = append(data, magic...)
	data = append(data, 0, 0, 0, 0)
	var flags byte
	if r.NotFound {
		flags = flagNotFound
	}
	data = append(data, flags)
	data = binary.LittleEndian.AppendUint64(data, uint64(r.StoredAt))
	data = binary.LittleEndian.AppendUint64(data, micros(r.TTL))
	data = binary.LittleEndian.AppendUint64(data, micros(r.StaleFor))
	data = binary.LittleEndian.AppendUint64(data, r.Version)
	data = append(data, byte(len(r.Codec))) //nolint:gosec // checked
	data = append(data, r.Codec...)
	data = binary.LittleEndian.AppendUint16(data, uint16(len(r.Tags))) //nolint:gosec // checked
	for _, tag := range r.Tags {
		if len(tag) > MaxTag {
			return data[:begin], fmt.Errorf("envelope: a tag of %d bytes", len(tag))
		}
		data = binary.LittleEndian.AppendUint16(data, uint16(len(tag))) //nolint:gosec // checked
		data = append(data, tag...)
	}
	data = append(data, r.Value...)
	binary.LittleEndian.PutUint32(data[begin+len(magic):], checksum(key, data[begin+covered:]))
	return data, nil
}

// Decode returns the Record in data, which was stored for key. Codec and Tags are copies, and Value
// is a part of data. The error wraps ErrForeign or ErrGarbage.
func Decode(key string, data []byte) (r Record, err error) {
	if len(data) < fixed || string(data[:3]) != magic[:3] {
		return r, ErrGarbage
	}
	if data[3] != magic[3] {
		return r, fmt.Errorf("%w: version %d", ErrForeign, data[3])
	}
	if binary.LittleEndian.Uint32(data[4:]) != checksum(key, data[covered:]) {
		return r, fmt.Errorf("%w: checksum", ErrGarbage)
	}
	flags := data[8]
	storedAt := binary.LittleEndian.Uint64(data[9:])
	ttl := binary.LittleEndian.Uint64(data[17:])
	staleFor := binary.LittleEndian.Uint64(data[25:])
	const most = math.MaxInt64 / uint64(time.Microsecond)
	if flags > flagNotFound || storedAt > math.MaxInt64 || ttl > most || staleFor > most {
		return r, fmt.Errorf("%w: flags or times", ErrGarbage)
	}
	r.NotFound = flags == flagNotFound
	r.StoredAt = int64(storedAt)
	r.TTL = time.Duration(ttl) * time.Microsecond           //nolint:gosec // checked
	r.StaleFor = time.Duration(staleFor) * time.Microsecond //nolint:gosec // checked
	r.Version = binary.LittleEndian.Uint64(data[33:])
	rest := data[fixed:]
	codec, rest, ok := cut(rest, int(data[41]))
	if !ok || len(rest) < 2 {
		return Record{}, fmt.Errorf("%w: truncated", ErrGarbage)
	}
	r.Codec = string(codec)
	tags := int(binary.LittleEndian.Uint16(rest))
	rest = rest[2:]
	if len(rest) < 2*tags {
		return Record{}, fmt.Errorf("%w: truncated", ErrGarbage)
	}
	if tags > 0 {
		r.Tags = make([]string, tags)
	}
	for i := range r.Tags {
		if len(rest) < 2 {
			return Record{}, fmt.Errorf("%w: truncated", ErrGarbage)
		}
		var tag []byte
		tag, rest, ok = cut(rest[2:], int(binary.LittleEndian.Uint16(rest)))
		if !ok {
			return Record{}, fmt.Errorf("%w: truncated", ErrGarbage)
		}
		r.Tags[i] = string(tag)
	}
	if r.NotFound && (r.Codec != "" || len(rest) > 0) {
		return Record{}, fmt.Errorf("%w: a value of a missing record", ErrGarbage)
	}
	r.Value = rest
	return r, nil
}

// cut splits data after n bytes, if it has as many.
func cut(data []byte, n int) (head, rest []byte, ok bool) {
	if len(data) < n {
		return nil, nil, false
	}
	return data[:n], data[n:], true
}

// micros returns d in µs, rounded up, so that a time above 0 stays above 0.
func micros(d time.Duration) uint64 {
	us := d / time.Microsecond
	if d%time.Microsecond > 0 {
		us++
	}
	return uint64(us) //nolint:gosec // not negative
}

// checksum covers the key, so that the record of another key is garbage.
func checksum(key string, data []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(key), table), table, data)
}
