package replica

import "github.com/snowfence/snowfence/registry/internal/hlc"

// A Record is what one node says of one name: that a holder of it lives there, or (Dead)
// that none does any more. Records are immutable once they are in a partition or a message, and
// shared by both.
type Record struct {
	Name string
	Node string // the origin: the node that wrote the record, and the only one that may
	Seq  uint64 // its place in the origin's sequence for this partition
	Time hlc.Timestamp
	Meta []byte

	// Dead marks a tombstone. Why says what ended the holder.
	Dead bool
	Why  Why

	Verdict *Verdict // of WhyConflict, and then only
}

// A Verdict says which claim was preferred to the one that a tombstone ends.
type Verdict struct {
	Winner    string // the node
	WinnerSeq uint64 // the winner's record, as it was compared
	LostSeq   uint64 // the own record that it was compared with

	// Time is the winner's: it tells the claim apart from one with the same number of another run.
	Time hlc.Timestamp
}

// Why says why a claim is no longer seen.
type Why uint8

// Reasons travel in tombstones, but for the last four, which each replica finds for itself.
const (
	WhyReleased    Why = iota + 1 // the holder released the name
	WhyEnded                      // the holder's context ended
	WhyConflict                   // another node's claim was preferred
	WhyClosed                     // the holder's registry closed
	WhyNodeDown                   // the node is down as far as membership knows: hidden
	WhyNodeLeft                   // the node left in good order
	WhyNodeRestart                // the node runs again, under a new incarnation
	WhyMissing                    // the origin no longer lists it, and its tombstone is gone
)

// String returns the reason in words.
func (w Why) String() string {
	if int(w) < len(whys) && w > 0 {
		return whys[w]
	}
	return "unknown reason"
}

var whys = [...]string{
	WhyReleased: "released", WhyEnded: "holder ended", WhyConflict: "lost a conflict", WhyClosed: "registry closed",
	WhyNodeDown: "node down", WhyNodeLeft: "node left", WhyNodeRestart: "node restarted", WhyMissing: "gone at its node",
}

// A Message is one of [*Update], [*Summary], [*Vector], [*Pull] and [*Chunk].
type Message interface{ Kind() Kind }

// Kind tells messages apart, in statistics and on the wire.
type Kind uint8

// The kinds of messages. The numbers are those of the wire.
const (
	KindUpdate  Kind = 1
	KindSummary Kind = 2
	KindVector  Kind = 3
	KindPull    Kind = 4
	KindChunk   Kind = 5
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case KindUpdate:
		return "update"
	case KindSummary:
		return "summary"
	case KindVector:
		return "vector"
	case KindPull:
		return "pull"
	case KindChunk:
		return "chunk"
	}
	return "unknown"
}

// An Update holds what an origin changed: everything in its sequence after After, up to
// and including UpTo, each name once, in its latest form as of UpTo. Records are
// in the order of their Seq and all written by Origin.
type Update struct {
	Origin      string
	Incarnation uint64
	After, UpTo uint64
	Records     []*Record
}

// A Summary is a probe: the hash of all that the sender knows. Who has another hash
// answers with a Vector.
type Summary struct {
	Root uint64
}

// A Vector says how far the sender has come with each origin that is up. It asks for
// the receiver's own vector if Reply is set.
type Vector struct {
	Reply   bool
	Entries []Entry // sorted by Origin
}

// An Entry is one origin's line in a [Vector].
type Entry struct {
	Origin      string
	Incarnation uint64
	Seq         uint64
	Visible     bool // the sender shows the origin's claims: it has come as far as somebody who spoke for the origin
}

// A Pull asks for what an origin changed after After. In a snapshot, Start is what the first chunk
// gave, and After goes on where the last chunk ended; otherwise Start is 0.
type Pull struct {
	Origin      string
	Incarnation uint64
	After       uint64
	Start       uint64
}

// A Chunk answers a Pull: all of the origin's live records with After < Seq <= UpTo, and its
// tombstones in that range. If Start is not 0 the chunk is part of a snapshot that began when the
// sender stood at Start: tombstones up to Start may be missing, and what the receiver holds
// but was not listed by the last chunk is gone. More says that the range goes on.
type Chunk struct {
	Origin      string
	Incarnation uint64
	After, UpTo uint64
	Start       uint64
	More        bool
	Records     []*Record
}

// Kind returns [KindUpdate].
func (*Update) Kind() Kind { return KindUpdate }

// Kind returns [KindSummary].
func (*Summary) Kind() Kind { return KindSummary }

// Kind returns [KindVector].
func (*Vector) Kind() Kind { return KindVector }

// Kind returns [KindPull].
func (*Pull) Kind() Kind { return KindPull }

// Kind returns [KindChunk].
func (*Chunk) Kind() Kind { return KindChunk }
