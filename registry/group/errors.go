package group

import (
	"errors"
	"fmt"
)

// ErrFull matches, by errors.Is, every [*FullError].
var ErrFull = errors.New("group: full")

// A FullError reports that the list of this node's members of a group would get too long. It is
// [ErrFull].
type FullError struct {
	Group   string
	Members int // of this node, with the new or changed one
	Bytes   int // that their list would take
	Max     int // MaxBytes
}

// Error describes the FullError in one line.
func (e *FullError) Error() string {
	return fmt.Sprintf(
		"group: the %d members of this node in group %s would take %d bytes: want at most %d",
		e.Members, quote(e.Group), e.Bytes, e.Max)
}

// Is reports whether target is [ErrFull].
func (e *FullError) Is(target error) bool { return target == ErrFull }

var (
	errListVersion = errors.New("group: a list of members in a format that this version can't read")
	errList        = errors.New("group: a malformed list of members")

	errChanged = errors.New("group: changed meanwhile")
	errGone    = errors.New("group: no member any more")
)

// quote quotes a name, and cuts a long one.
func quote(name string) string {
	const longest = 80
	if len(name) <= longest {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q... (%d bytes)", name[:longest], len(name))
}
