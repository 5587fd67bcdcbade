package replica

import "github.com/snowfence/snowfence/registry/internal/hlc"

// A Record is a claim on a name or, if Dead is set, the tombstone of one. Records are immutable
// once they are in a partition or a message, and shared by both.
type Record struct {
	Name string
	Node string // the origin: the node that wrote the record, and the only one that may
	Seq  uint64 // its number in the origin's sequence for this partition
	Time hlc.Timestamp
	Meta []byte

	Dead bool // it is a tombstone
	Why  Why  // of a tombstone

	Verdict *Verdict // of a tombstone with WhyConflict
}

// A Verdict names the claim that was preferred to the one that a tombstone ends.
type Verdict struct {
	Winner    string        // the node
	WinnerSeq uint64        // the winner's record, as it was compared
	LostSeq   uint64        // the own record that it was compared with
	Time      hlc.Timestamp // the winner's, as another run may use the same number
}

// Why is the reason why a claim is no longer seen.
type Why uint8

// Tombstones carry the first four reasons; each replica finds the others for itself.
const (
	WhyReleased    Why = iota + 1 // the holder released the name
	WhyEnded                      // the holder's context ended
	WhyConflict                   // another node's claim was preferred
	WhyClosed                     // the holder's registry closed
	WhyNodeDown                   // the node is down as far as membership knows: hidden
	WhyNodeLeft                   // the node left
	WhyNodeRestart                // the node runs again, under a new incarnation
	WhyMissing                    // the origin no longer has it, and its tombstone is gone
)

// String returns the reason in words.
func (w Why) String() string {
	if int(w) < len(whys) && w > 0 {
		return whys[w]
	}
	return "unknown reason"
}

var whys = [...]string{
	WhyReleased: "released", WhyEnded: "holder ended", WhyConflict: "lost a conflict",
	WhyClosed:   "registry closed",
	WhyNodeDown: "node down", WhyNodeLeft: "node left", WhyNodeRestart: "node restarted",
	WhyMissing: "gone at its node",
}

// A Message is one of [*Update], [*Summary], [*Vector], [*Pull], [*Chunk], [*Check] and
// [*Standing].
type Message interface{ Kind() Kind }

// Kind is the type of a message, in statistics and on the wire.
type Kind uint8

// The kinds of messages. The numbers are those of the wire.
const (
	KindUpdate   Kind = 1
	KindSummary  Kind = 2
	KindVector   Kind = 3
	KindPull     Kind = 4
	KindChunk    Kind = 5
	KindCheck    Kind = 6
	KindStanding Kind = 7

	// Kinds is the length of an array that is indexed by Kind.
	Kinds = 8
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
	case KindCheck:
		return "check"
	case KindStanding:
		return "standing"
	}
	return "unknown"
}

// An Update holds an origin's changes after After, up to and including UpTo: each name once, in its
// latest form as of UpTo. Records are in the order of their Seq and all written by Origin.
type Update struct {
	Origin      string
	Incarnation uint64
	After, UpTo uint64
	Records     []*Record
}

// A Summary is a probe: the hash of the sender's watermarks. A receiver whose hash differs answers
// with a Vector.
type Summary struct {
	Root uint64
}

// A Vector holds the sender's watermark for each origin that is up. If Reply is set, it asks for
// the receiver's vector.
type Vector struct {
	Reply   bool
	Entries []Entry // sorted by Origin
}

// An Entry is one origin's line in a [Vector].
type Entry struct {
	Origin      string
	Incarnation uint64
	Seq         uint64
	Visible     bool // the sender shows the origin's claims, all of them and no others, as of Seq
}

// A Pull asks a replica whose watermark for the origin is at least AtLeast for the origin's changes
// after After.
type Pull struct {
	Origin      string
	Incarnation uint64
	After       uint64
	AtLeast     uint64
}

// A Chunk answers a [Pull] as of the change AsOf: it holds all of the origin's claims with
// After < Seq <= UpTo, and its tombstones in that range, of which those up to Floor may be missing.
// If UpTo is below AsOf there is more to pull. A server that can't answer sets UpTo to After.
type Chunk struct {
	Origin      string
	Incarnation uint64
	After, UpTo uint64
	AsOf        uint64
	Floor       uint64
	Records     []*Record
}

// More reports whether there is more to pull.
func (c *Chunk) More() bool { return c.UpTo < c.AsOf }

// A Check asks a replica whose watermark for the origin is at least AtLeast which of the sender's
// claims still stand. The first block begins after After, and each other one where the last ends.
type Check struct {
	Origin      string
	Incarnation uint64
	After       uint64
	AtLeast     uint64
	Blocks      []Block
}

// A Block stands for the claims with a Seq up to UpTo, inclusive: Digest is the hash of their
// numbers.
type Block struct {
	UpTo   uint64
	Digest uint64
}

// A Standing answers a [Check] as of the change AsOf: the claims with After < Seq <= UpTo that
// stand are those that the sender of the Check has, except in Spans, which list them. It may end
// before the last block does. A server that can't answer sets UpTo to After.
type Standing struct {
	Origin      string
	Incarnation uint64
	After, UpTo uint64
	AsOf        uint64
	Spans       []Span // in order; they do not overlap
}

// A Span lists the numbers of the claims that stand with After < Seq <= UpTo, in order.
type Span struct {
	After, UpTo uint64
	Seqs        []uint64
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

// Kind returns [KindCheck].
func (*Check) Kind() Kind { return KindCheck }

// Kind returns [KindStanding].
func (*Standing) Kind() Kind { return KindStanding }
