package wire

import (
	"fmt"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A VersionError reports that a frame is of another version of the format.
type VersionError struct {
	Got byte
}

// Error names both versions.
func (e *VersionError) Error() string {
	return fmt.Sprintf("wire: frame is of format version %d, this node reads version %d", e.Got,
		Version)
}

// A SyntaxError reports why [Decode] refused a frame.
type SyntaxError struct {
	Offset int    // of the field in the frame, in bytes
	Field  string // such as "item 2: update: record 7: name"
	Reason string
}

// Error names the offset, the field and the reason.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("wire: at byte %d: %s: %s", e.Offset, e.Field, e.Reason)
}

// An InvalidError reports why [Append] refused a frame: no [Decode] would accept it.
type InvalidError struct {
	Field  string // such as "item 2: update: record 7: name"
	Reason string
}

// Error names the field and the reason.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("wire: can't encode %s: %s", e.Field, e.Reason)
}

// A place is the position in a frame that is being encoded or decoded, for errors.
type place struct {
	item   int // -1: in the header
	kind   replica.Kind
	record int    // -1: not in a list
	list   string // what the list holds
}

// field returns the name of a field with the position.
func (p place) field(name string) string {
	switch {
	case p.item < 0:
		return name
	case p.kind == 0:
		return fmt.Sprintf("item %d: %s", p.item, name)
	case p.record < 0:
		return fmt.Sprintf("item %d: %s: %s", p.item, p.kind, name)
	default:
		return fmt.Sprintf("item %d: %s: %s %d: %s", p.item, p.kind, p.list, p.record, name)
	}
}
