package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/courier"
)

// A LoadError says on which other node a Load ran, and how it ended. errors.Is finds in it what it
// would find there, as far as that is known here: the errors of Options.Errors, those of package
// courier, cache.ErrNotFound, context.DeadlineExceeded.
type LoadError = peer.LoadError

// A LoadKind says how a Load without a value ended.
type LoadKind = peer.LoadKind

// The kinds.
const (
	Failed     = peer.Failed     // it returned an error
	Panicked   = peer.Panicked   // it panicked
	Goexited   = peer.Goexited   // it called runtime.Goexit
	Deadlocked = peer.Deadlocked // it would have waited for itself
	TimedOut   = peer.TimedOut   // its time-out passed
	BackedOff  = peer.BackedOff  // it was not called, since it failed lately
	NotFound   = peer.NotFound   // there is no record: the error matches cache.ErrNotFound
)

// Errors that errors.Is finds.
var (
	// ErrClosed says that the cache is closed. It is courier.ErrClosed.
	ErrClosed = courier.ErrClosed
	// ErrOverloaded says that a limit in Options.Cache.Courier is reached. It is
	// courier.ErrOverloaded.
	ErrOverloaded = courier.ErrOverloaded
)

// A KeyError says that a key, or a tag, is longer than Options.MaxKey.
type KeyError struct {
	Len int // bytes
	Max int
	Tag bool // it is a tag, and not a key
}

// Error describes the KeyError in one line.
func (e *KeyError) Error() string {
	what := "key"
	if e.Tag {
		what = "tag"
	}
	return fmt.Sprintf("cluster: %s of %d bytes: want at most %d (Options.MaxKey)", what, e.Len, e.Max)
}

// An UnconfirmedError says which nodes have not confirmed a Delete, InvalidateTag or Clear. This
// node and all others have applied it, and these nodes get it as soon as they can be reached.
type UnconfirmedError struct {
	Nodes []string // sorted
	Err   error    // why one of them has not
}

// Error describes the UnconfirmedError in one line.
func (e *UnconfirmedError) Error() string {
	return fmt.Sprintf("cluster: not confirmed by %s, which will apply it when reached: %v",
		strings.Join(e.Nodes, ", "), e.Err)
}

// Unwrap returns Err.
func (e *UnconfirmedError) Unwrap() error { return e.Err }

// A QuarantineError says that no node loads a key for a while, since nodes died while they loaded
// it. Callers on all nodes get it.
type QuarantineError struct {
	Key    string
	Deaths []string  // the nodes that died, sorted; one that died twice is there twice
	Until  time.Time // when the key is tried again, by this node's clock
}

// Error describes the QuarantineError in one line.
func (e *QuarantineError) Error() string {
	return fmt.Sprintf("cluster: key %s is quarantined until %s: nodes died while they loaded it: %s",
		peer.QuoteKey(e.Key), e.Until.Format(time.TimeOnly), strings.Join(e.Deaths, ", "))
}
