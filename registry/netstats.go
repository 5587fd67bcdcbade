package registry

// NetworkStats describes the network below the registry. Counts are since it was opened; depths are
// those of now.
type NetworkStats struct {
	Gossip   PathStats // frames that gossip carried
	Reliable PathStats // frames over connections
	Packets  PathStats // frames in packets of their own

	Rejected       uint64 // what came and could not be read, or was under a key that is not installed
	Refused        uint64 // times that a node was kept out
	Strangers      uint64 // frames of nodes that are no members, or not in this run
	Unsent         uint64 // messages that no queue took; the protocol repairs that
	BroadcastsFull uint64 // times that gossip had no room for an update
	SendsFailed    uint64

	BroadcastDepth, BroadcastHigh  int // updates that gossip carries, and the most ever
	PeerQueueItems, PeerQueueBytes int // what waits for connections to all other nodes
	PeerQueueHigh                  int // the most bytes that ever waited for one node

	HealthScore    int // how slow memberlist thinks this node is; 0: not at all
	Connections    int // that are open now, either way
	Lost           int // lost nodes that are looked for
	RejoinAttempts uint64
	Rejoined       uint64
}

// PathStats counts frames and their bytes, before encryption. What gossip repeats is counted each
// time.
type PathStats struct {
	FramesIn, BytesIn   uint64
	FramesOut, BytesOut uint64
}
