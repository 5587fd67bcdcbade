package cachevalkey

import (
	"crypto/rand"
	"time"

	"github.com/snowfence/snowfence/cache"
)

// The value of a key is a header and, if it is a record, data. The header is the kind of the value
// and an ID, which is new for each lease and each record. It is the fence, too.
//
//	'L' ID         a lease: somebody loads the key
//	'R' ID data    a record
const (
	idSize     = 16
	headerSize = 1 + idSize

	leaseKind  = 'L'
	recordKind = 'R'
)

// Fences that are no headers.
const (
	// foreignFence stands for a value that is neither a lease nor a record: of another program, or
	// damaged. A Write with this fence replaces such a value, and nothing else.
	foreignFence = "?"

	// noFence stands for a key that has no value and for which no lease could be placed. A Write
	// with this fence does nothing.
	noFence = "-"
)

// names holds the names of the keys on the server.
type names struct {
	record  string // begins the name of each record and lease
	tags    string // the log of tags
	notices string // the log of what was deleted and invalidated, and by whom
	check   string // is written by Check
}

// formatVersion is part of all names, so that releases with different formats can share a server
// while one replaces the other.
const formatVersion = "1"

// makeNames names the logs so that they share a slot of a cluster, and thereby a server.
func makeNames(prefix string) names {
	prefix += ":" + formatVersion
	return names{
		record:  prefix + ":k:",
		tags:    "{" + prefix + "}:tags",
		notices: "{" + prefix + "}:notices",
		check:   "{" + prefix + "}:check",
	}
}

// newHeader returns a header with a new ID.
func newHeader(kind byte) string {
	b := [headerSize]byte{kind}
	_, _ = rand.Read(b[1:]) // it never fails
	return string(b[:])
}

// parseValue splits the value of a key. Data of the result shares memory with value.
func parseValue(value []byte) cache.Stored {
	switch {
	case len(value) < headerSize:
	case value[0] == leaseKind:
		return cache.Stored{Fence: string(value[:headerSize])}
	case value[0] == recordKind:
		return cache.Stored{Data: value[headerSize:], Fence: string(value[:headerSize])}
	}
	return cache.Stored{Fence: foreignFence}
}

// isHeader reports whether a fence is the header of a value.
func isHeader(fence string) bool { return len(fence) == headerSize }

// millis returns d in the unit in which the server takes it, rounded up, and at least 1.
func millis(d time.Duration) int64 {
	return max(1, int64((d-1)/time.Millisecond)+1)
}
