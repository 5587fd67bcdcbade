package registry

import (
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

// A Timestamp is the time of a claim by the hybrid logical clock of its node: the wall clock's
// reading, and a counter that keeps claims in order if the reading did not grow. Two nodes may give
// out the same timestamp; claims of equal timestamps are ordered by the names of their nodes. The
// zero Timestamp is older than any that a registry gives out.
type Timestamp struct {
	Nanos   int64  // nanoseconds since the Unix epoch
	Logical uint32 // orders timestamps that share their nanosecond
}

// Compare returns -1 if t is older than u, +1 if it is newer, 0 if they are equal.
func (t Timestamp) Compare(u Timestamp) int { return hlc.Timestamp(t).Compare(hlc.Timestamp(u)) }

// Time returns the wall clock's part. It is as good as the clock of the claim's node.
func (t Timestamp) Time() time.Time { return hlc.Timestamp(t).Time() }

// String formats the timestamp as RFC 3339 in UTC with nanoseconds, and "+n" if the logical part is
// not zero.
func (t Timestamp) String() string { return hlc.Timestamp(t).String() }
