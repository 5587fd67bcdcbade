package peer

import "fmt"

// A LoadError is what became of a Load on another node. It is an answer: whoever gets it does not
// load for itself.
//
// errors.Is finds in it the error of Config.Errors that it was, courier.ErrGoexit,
// courier.ErrDeadlock, courier.ErrTimeout, cache.ErrNotFound, context.DeadlineExceeded and
// context.Canceled, as it would have on the node where Load ran.
type LoadError struct {
	Node    string   // where Load ran
	Key     string   // of what
	Kind    LoadKind // how it ended
	Message string   // the text of the error or panic there; at most 4 KiB
	Stack   string   // of a panic; at most 16 KiB

	is []error // what errors.Is finds
}

// Error describes the LoadError in one line.
func (e *LoadError) Error() string {
	key := e.Key
	if len(key) > 200 {
		return fmt.Sprintf("cluster: load of key %q… (%d bytes) on node %q %s: %s",
			key[:200], len(key), e.Node, e.Kind, e.Message)
	}
	return fmt.Sprintf("cluster: load of key %q on node %q %s: %s", key, e.Node, e.Kind, e.Message)
}

// Unwrap returns the errors that this one stands for, if they are known here.
func (e *LoadError) Unwrap() []error { return e.is }

// A LoadKind says how a Load ended that gave no value.
type LoadKind uint8

// The kinds.
const (
	Failed     LoadKind = iota + 1 // it returned an error
	Panicked                       // it panicked
	Goexited                       // it called runtime.Goexit
	Deadlocked                     // it would have waited for itself
	TimedOut                       // its time was up
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
