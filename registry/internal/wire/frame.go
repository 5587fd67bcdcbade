package wire

import "github.com/snowfence/snowfence/registry/internal/replica"

// Version is the version of the format, and the first byte of each frame.
const Version = 2

// Bounds of the format. [Limits] may be tighter, never wider.
const (
	MaxPartitions  = 1 << 16
	MaxIncarnation = 1<<63 - 1 // the last nanosecond that a clock can name
	MaxName        = 1<<16 - 1 // bytes in a name
	MaxMeta        = 1<<16 - 1 // bytes of metadata
	MaxNode        = 1<<8 - 1  // bytes in the name of a node
	MaxItems       = 1<<16 - 1 // items in a frame
)

// A Frame is sent from one node to another in one piece: a packet, or one message of a reliable
// connection.
type Frame struct {
	From        string // the name of the sender
	Incarnation uint64 // of this run of the sender
	Sent        int64  // its wall clock when it sent, in nanoseconds since the Unix epoch
	Items       []Item
}

// An Item is one message of one partition.
type Item struct {
	Partition int
	Message   replica.Message
}
