package deletes

import "time"

// Bounds of a Log and of its messages.
const (
	// DefaultMax is how many entries a Log keeps where Options.Max is not set.
	DefaultMax = 64 << 10
	// MinMessage is the least size that Log.Message can be held to, in bytes, besides one entry.
	MinMessage = 256 << 10
)

// An ID names a delete: the Seq-th, from 1, of a run.
type ID struct{ Run, Seq uint64 }

// An Entry is a delete of a key, or of all keys (a clear).
type Entry struct {
	ID  ID
	All bool
	Key string
}

// Options configure a Log. Run, Apply and Reset are needed.
type Options struct {
	// Run is the number of this run of this node: random, not 0.
	Run uint64

	// Max is how many entries are kept, DefaultMax if it is 0.
	Max int

	// Retain is how long entries are kept, without end if it is 0. It must be longer than any value can be used that was being
	// loaded when an entry was made: the longest load and the longest TTL together.
	Retain time.Duration

	// Apply drops what the node has for the keys of the entries, and forgets the loads under way for them.
	Apply func([]Entry)

	// Reset drops all that the node has, and forgets the loads under way.
	Reset func()

	// Now returns the time since some fixed moment. It never goes back. The time since New, by the monotonic clock, if it is nil.
	Now func() time.Duration
}
