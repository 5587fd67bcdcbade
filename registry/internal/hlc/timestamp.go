package hlc

import (
	"cmp"
	"fmt"
	"time"
)

// A Timestamp is one reading of a hybrid logical clock. The zero Timestamp is older than any that a
// clock gives out.
type Timestamp struct {
	Nanos   int64  // nanoseconds since the Unix epoch
	Logical uint32 // orders readings that share their nanosecond
}

// Compare returns -1 if t is older than u, +1 if it is newer, 0 if they are equal.
func (t Timestamp) Compare(u Timestamp) int {
	return cmp.Or(cmp.Compare(t.Nanos, u.Nanos), cmp.Compare(t.Logical, u.Logical))
}

// Time returns the physical part.
func (t Timestamp) Time() time.Time { return time.Unix(0, t.Nanos) }

// String formats the timestamp as RFC 3339 in UTC, with "+n" if the logical part is not zero.
func (t Timestamp) String() string {
	s := t.Time().UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
	if t.Logical == 0 {
		return s
	}
	return fmt.Sprintf("%s+%d", s, t.Logical)
}
