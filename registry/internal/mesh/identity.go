package mesh

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// An Identity holds the configuration that all nodes of a cluster share. Nodes of different
// identities never become members of the same cluster.
type Identity struct {
	Cluster    string // its name
	Partitions int    // how many
	Resolver   string // the name of the rule that resolves conflicts
	Protocol   int    // the version of the messages
}

// differences returns the fields in which the other's identity differs.
func (i Identity) differences(o Identity) []Difference {
	var d []Difference
	add := func(field string, ours, theirs any) {
		if ours != theirs {
			d = append(d, Difference{Field: field, Ours: fmt.Sprint(ours), Theirs: fmt.Sprint(theirs)})
		}
	}
	add("cluster", i.Cluster, o.Cluster)
	add("partitions", i.Partitions, o.Partitions)
	add("resolver", i.Resolver, o.Resolver)
	add("protocol", i.Protocol, o.Protocol)
	return d
}

// A Difference is a field in which two identities differ.
type Difference struct {
	Field, Ours, Theirs string
}

// A MismatchError reports that a node was kept out because its identity differs. It reads alike on
// both sides, with ours and theirs exchanged.
type MismatchError struct {
	Node, Addr  string
	Differences []Difference // empty if only the hash of the other's identity is known
	Err         error        // why its metadata could not be read, if so
}

// Error names the node and each field that differs.
func (e *MismatchError) Error() string {
	b := new(strings.Builder)
	fmt.Fprintf(b, "node %q at %s does not match this one", e.Node, e.Addr)
	switch {
	case e.Err != nil:
		fmt.Fprintf(b, ": %v", e.Err)
	case len(e.Differences) == 0:
		b.WriteString(": it was restarted with another configuration")
	}
	for i, d := range e.Differences {
		sep := ","
		if i == 0 {
			sep = ":"
		}
		fmt.Fprintf(b, "%s %s is %q there, %q here", sep, d.Field, d.Theirs, d.Ours)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *MismatchError) Unwrap() error { return e.Err }

// ErrMetadata is within a [*MismatchError] if the node is not one of this module, or is of a
// release that this one can't read.
var ErrMetadata = errors.New("its metadata can't be read: it is another program or another release")

// metaVersion is the first byte of the metadata. It changes only if older releases could not decode
// which fields differ; otherwise fields are appended.
const metaVersion = 1

// encodeMeta returns a node's metadata, which memberlist spreads with all news of the node.
func encodeMeta(i Identity, incarnation uint64) []byte {
	b := []byte{metaVersion}
	b = binary.BigEndian.AppendUint64(b, incarnation)
	b = binary.AppendUvarint(b, uint64(i.Partitions))
	b = binary.AppendUvarint(b, uint64(i.Protocol))
	for _, s := range []string{i.Cluster, i.Resolver} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// decodeMeta decodes any bytes. It ignores those that follow: they are of a later release.
func decodeMeta(b []byte) (i Identity, incarnation uint64, err error) {
	if len(b) < 9 || b[0] != metaVersion {
		return i, 0, ErrMetadata
	}
	incarnation = binary.BigEndian.Uint64(b[1:])
	b = b[9:]
	ok := true
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > math.MaxInt32 { // an int may have 32 bits
			ok = false
			return 0
		}
		b = b[n:]
		return v
	}
	text := func() string {
		n := number()
		if !ok || n > uint64(len(b)) {
			ok = false
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	i.Partitions, i.Protocol = int(number()), int(number())
	i.Cluster, i.Resolver = text(), text()
	if !ok {
		return Identity{}, 0, ErrMetadata
	}
	return i, incarnation, nil
}

// hash returns a hash of the identity, for answers to probes.
func (i Identity) hash() uint64 { return xxhash.Sum64(encodeMeta(i, 0)) }
