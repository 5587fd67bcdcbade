package group

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/snowfence/snowfence/registry"
)

// MaxBytes bounds the encoded list of one node's members of one group.
const MaxBytes = 60_000

// The list of a node's members of one group, as the metadata of its claim. All numbers are varints
// in their shortest form, so a list has one encoding only.
//
//	version  1 byte
//	count    v       at least 1
//	member, in the order of IDs:
//	id       v       of the first; of another: the number of IDs between it and the one before
//	nanos    z       zigzag: the time, as the difference to that of the member before (or 0)
//	logical  v       at most 2^32-1
//	meta     v n...
const (
	listVersion = 1
	minMember   = 4 // bytes
)

// appendList appends the encoded list. The members are sorted by ID, and of one node.
func appendList(b []byte, members []Member) []byte {
	b = append(b, listVersion)
	b = binary.AppendUvarint(b, uint64(len(members)))
	next, nanos := uint64(0), int64(0)
	for i := range members {
		m := &members[i]
		b = binary.AppendUvarint(b, m.ID-next)
		b = binary.AppendVarint(b, m.Time.Nanos-nanos)
		b = binary.AppendUvarint(b, uint64(m.Time.Logical))
		b = binary.AppendUvarint(b, uint64(len(m.Meta)))
		b = append(b, m.Meta...)
		next, nanos = m.ID+1, m.Time.Nanos
	}
	return b
}

// parseList returns the members in a node's list. Their metadata are slices of it.
func parseList(node string, b []byte) ([]Member, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty", errList)
	}
	if b[0] != listVersion {
		return nil, fmt.Errorf("%w: %d, not %d", errListVersion, b[0], listVersion)
	}
	d := cursor{b: b[1:]}
	count := d.uvarint()
	if count == 0 || count > uint64(len(d.b)/minMember) {
		return nil, fmt.Errorf("%w: a count of %d in %d bytes", errList, count, len(b))
	}
	members := make([]Member, count)
	next, nanos := uint64(0), int64(0)
	for i := range members {
		left := d.uvarint()
		nanos += d.varint()
		logical, size := d.uvarint(), d.uvarint()
		id := next + left
		// no ID may follow the highest one
		if id < next || i > 0 && next == 0 || logical > math.MaxUint32 || size > uint64(len(d.b)) {
			d.bad = true
		}
		if d.bad {
			return nil, fmt.Errorf("%w: member %d of %d", errList, i+1, count)
		}
		members[i] = Member{Node: node, ID: id,
			Time: registry.Timestamp{Nanos: nanos, Logical: uint32(logical)}}
		if size > 0 {
			members[i].Meta = d.b[:size:size]
		}
		d.b = d.b[size:]
		next = id + 1
	}
	if len(d.b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the last member", errList, len(d.b))
	}
	return members, nil
}

// A cursor reads numbers. bad is set once one was wrong.
type cursor struct {
	b   []byte
	bad bool
}

func (d *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *cursor) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1) //nolint:gosec // zigzag
}
