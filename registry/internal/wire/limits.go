package wire

import "github.com/snowfence/snowfence/registry/internal/replica"

// DefaultMaxFrame is the default of Limits.MaxFrame.
const DefaultMaxFrame = 1 << 20

// Limits bound the frames that [Decode] accepts. A field that is zero, or wider than the format
// allows, means the format's bound; MaxFrame may be any size, and is [DefaultMaxFrame] if it is
// zero.
type Limits struct {
	Partitions int // of the cluster: partitions from 0 up to but not including it
	MaxName    int // bytes in a name
	MaxMeta    int // bytes of metadata
	MaxNode    int // bytes in the name of a node
	MaxFrame   int // bytes in a frame

	// MaxIncarnation is the highest incarnation accepted. Incarnations are wall clock readings, and a
	// node that receives a higher one of itself raises its own above that. If the limit is the wall
	// clock's reading plus a generous slack, a forged incarnation can't drive a node to the highest
	// number there is, as the limit rises with the clock.
	MaxIncarnation uint64
}

// orDefault returns the limits with their defaults, within the bounds of the format.
func (l Limits) orDefault() Limits {
	l.Partitions = within(l.Partitions, MaxPartitions)
	l.MaxName = within(l.MaxName, MaxName)
	l.MaxMeta = within(l.MaxMeta, MaxMeta)
	l.MaxNode = within(l.MaxNode, MaxNode)
	if l.MaxIncarnation == 0 || l.MaxIncarnation > MaxIncarnation {
		l.MaxIncarnation = MaxIncarnation
	}
	if l.MaxFrame <= 0 {
		l.MaxFrame = DefaultMaxFrame
	}
	return l
}

func within(limit, bound int) int {
	if limit <= 0 || limit > bound {
		return bound
	}
	return limit
}

// The head of a record is one byte: flags in the low half, the reason of a tombstone in the high
// half. Only a tombstone has a reason, so "dead" needs no flag.
const (
	headGap     = 1 << 0 // sequence numbers were left out before this one
	headLogical = 1 << 1 // the timestamp's logical part is not 0
	headMeta    = 1 << 2 // there is metadata
	headFlags   = headGap | headLogical | headMeta
	headWhy     = 4 // bits to shift the reason by

	lastWhy = replica.WhyClosed // tombstones never carry the ones after it
)

// The smallest encodings, by which counts are bounded before anything is allocated for them.
const (
	minItem   = 4  // partition, kind, and a vector without entries
	minRecord = 4  // head, time, and a name of one byte
	minEntry  = 12 // an origin of one byte, incarnation, sequence number, flags
	minBlock  = 9  // where it ends, and its digest
	minSpan   = 3  // where it begins and ends, and no numbers
)
