package deletes

import "time"

// Bounds of a Log, of its messages and of what After returns.
const (
	// DefaultMax is how many entries a Log keeps where Options.Max is not set.
	DefaultMax = 64 << 10
	// MaxKey is how long a key can be, in bytes. The delete of a longer one is made a clear.
	MaxKey = 1 << 20
	// MaxAfter is how much After returns at most, in bytes; Require refuses more.
	MaxAfter = 64 << 10
	// MinMessage is how far a Message can exceed the maxBytes it was given, in bytes, besides one entry: so much
	// the parts can take that are always in it.
	MinMessage = 384 << 10
	// MaxMessage is how long a message can be that Merge accepts, in bytes.
	MaxMessage = 64 << 20

	maxRuns    = 1024 // known to a Log
	maxSpans   = 8192 // of deletes applied before earlier ones, of all runs together
	maxListed  = 4096 // runs in a message
	maxEntries = 1 << 20
	maxSeq     = 1 << 62
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

	// Max is how many entries are kept, clears not counted; DefaultMax if it is 0.
	Max int

	// Retain is how long entries are kept, without end if it is 0. It must be longer than any value can be used
	// whose load began before the entry was made: the longest load and the longest TTL together, and some margin
	// for clocks that run at different speeds.
	Retain time.Duration

	// Apply drops what the node has for the keys of the entries, or all that it has if one of them is a clear, and
	// forgets the loads under way for them. It must have done so when it returns. It is called without locks, from
	// several goroutines at a time, and may call the Log.
	Apply func([]Entry)

	// Reset drops all that the node has, and forgets the loads under way. It is called like Apply.
	Reset func()

	// Now returns the time since some fixed moment. It must never go back. By default it is the time since New.
	Now func() time.Duration
}
