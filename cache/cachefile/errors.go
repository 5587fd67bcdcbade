package cachefile

import (
	"errors"
	"fmt"
)

// ErrDamaged is matched by each *DamageError.
var ErrDamaged = errors.New("cachefile: the file is damaged")

// A DamageError is returned by Load for a file that is no whole file: it was truncated or changed,
// or never was one. Load has stored the entries before the damage. errors.Is(err, ErrDamaged) is
// true.
type DamageError struct {
	Path   string
	Offset int64  // where the first damaged part begins; nothing from there on was loaded
	Size   int64  // of the file
	Reason string // what is wrong there
}

// Error returns a description in one line.
func (e *DamageError) Error() string {
	return fmt.Sprintf("cachefile: %s: byte %d of %d: %s", e.Path, e.Offset, e.Size, e.Reason)
}

// Is reports whether target is ErrDamaged.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// A MismatchError is returned by Load for a file that another program has written, or another
// version of this one, so that its entries would be misunderstood. Nothing was loaded.
type MismatchError struct {
	Path string
	Of   string // "format", "Options.Version", "keys" or "values"
	Have string // what the file has
	Want string // what Load was to find
}

// Error returns a description in one line.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("cachefile: %s: %s: the file has %q, want %q", e.Path, e.Of, e.Have, e.Want)
}

// An EntryError tells why an entry was left out: by Save, since its codec can't encode it, or by
// Load, since its codec can't decode it. It is in Saved.Err and Loaded.Err.
type EntryError struct {
	Key any // nil: the key itself can't be decoded
	Err error
}

// Error returns a description in one line. It does not contain the key, which may be a secret.
func (e *EntryError) Error() string { return "cachefile: an entry: " + e.Err.Error() }

// Unwrap returns Err.
func (e *EntryError) Unwrap() error { return e.Err }
