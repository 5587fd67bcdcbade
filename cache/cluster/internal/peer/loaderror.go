package peer

import "fmt"

// A LoadError says how a Load on another node ended. It is an answer: its receiver does not load
// the key itself.
//
// errors.Is finds in it what it would find on the node where Load ran, as far as that is one of
// Config.Errors or courier.ErrGoexit, courier.ErrDeadlock, courier.ErrTimeout, cache.ErrNotFound,
// context.DeadlineExceeded or context.Canceled.
type LoadError struct {
	Node    string   // where Load ran
	Key     string   // its key
	Kind    LoadKind // how it ended
	Message string   // the text of the error or panic there; at most 4 KiB
	Stack   string   // of a panic; at most 16 KiB

	is []error // what errors.Is finds
}

// Error describes the LoadError in one line.
func (e *LoadError) Error() string {
	return fmt.Sprintf("cluster: load of key %s on node %q %s: %s",
		QuoteKey(e.Key), e.Node, e.Kind, e.Message)
}

// QuoteKey returns key quoted, and cut to 200 bytes, for logs and error texts.
func QuoteKey(key string) string {
	if len(key) > 200 {
		return fmt.Sprintf("%q… (%d bytes)", key[:200], len(key))
	}
	return fmt.Sprintf("%q", key)
}

// Unwrap returns the errors that errors.Is finds.
func (e *LoadError) Unwrap() []error { return e.is }

// A LoadKind says how a Load without a value ended.
type LoadKind uint8

// The kinds.
const (
	Failed     LoadKind = iota + 1 // it returned an error
	Panicked                       // it panicked
	Goexited                       // it called runtime.Goexit
	Deadlocked                     // it would have waited for itself
	TimedOut                       // its time-out passed
	BackedOff                      // it was not called, since it failed lately
	NotFound                       // there is no record
)

// String returns what Load did, as in "load failed".
func (k LoadKind) String() string {
	switch k {
	case Failed:
		return "failed"
	case Panicked:
		return "panicked"
	case Goexited:
		return "called runtime.Goexit"
	case Deadlocked:
		return "would have waited for itself"
	case TimedOut:
		return "timed out"
	case BackedOff:
		return "is backing off"
	case NotFound:
		return "found no record"
	}
	return fmt.Sprintf("LoadKind(%d)", uint8(k))
}
