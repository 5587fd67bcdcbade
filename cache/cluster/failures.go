package cluster

import "github.com/snowfence/snowfence/cache/cluster/internal/peer"

// AskFailures counts the keys that peers did not deliver, by reason. After each of these another
// node was asked, or the value was loaded here. NoLifeSigns and the fields from WrongPath to
// Rubbish are mistakes in the set-up: the log says what to do.
type AskFailures struct {
	Silent uint64 // nothing came for PeerTimeout
	// the same, where something between the nodes is known to drop interim answers (1xx)
	NoLifeSigns uint64
	Unreachable uint64 // no connection, or it broke
	// it had too much to do, was closing or restarted, or 128 requests of this node were under way
	Busy         uint64
	Misplaced    uint64 // it does not own the key either
	Unsendable   uint64 // it has a value that is larger than MaxValue, or that its Codec can't encode
	WrongPath    uint64 // something else answers: no handler is mounted at its URL
	OtherService uint64 // something else answers at its URL
	TLSMismatch  uint64 // its URL is https and its server speaks no TLS, or the reverse
	Denied       uint64 // one side did not accept the credentials of the other
	OtherVersion uint64 // it speaks another version of the protocol, or has other limits
	WrongCache   uint64 // a cache with another Name answers at its URL
	WrongNode    uint64 // another node answers at its URL
	Rubbish      uint64 // its answer could not be read
	PassedOver   uint64 // it was not asked, because it had failed several times
}

// Total returns the sum of all fields.
func (f AskFailures) Total() uint64 {
	return f.Silent + f.NoLifeSigns + f.Unreachable + f.Busy + f.Misplaced + f.Unsendable +
		f.WrongPath + f.OtherService + f.TLSMismatch + f.Denied + f.OtherVersion + f.WrongCache +
		f.WrongNode + f.Rubbish + f.PassedOver
}

func (n *counters) askFailures() AskFailures {
	of := func(r peer.Reason) uint64 { return n.failures[r].Load() }
	return AskFailures{
		Silent: of(peer.Silent), NoLifeSigns: of(peer.NoLifeSigns),
		Unreachable: of(peer.Unreachable) + of(peer.NotListening) + of(peer.Lost),
		Busy:        of(peer.Busy) + of(peer.Closing), Misplaced: n.misplaced.Load(),
		Unsendable: of(peer.Unsendable),
		WrongPath:  of(peer.WrongPath), OtherService: of(peer.OtherService),
		TLSMismatch: of(peer.TLSMismatch),
		Denied:      of(peer.Denied), OtherVersion: of(peer.OtherVersion),
		WrongCache: of(peer.WrongCache),
		WrongNode:  of(peer.WrongNode), Rubbish: of(peer.Rubbish), PassedOver: of(peer.PassedOver),
	}
}
