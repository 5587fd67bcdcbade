// Package cutnet implements a network whose links can be cut, for tests and load runs of programs
// on memberlist.
//
// Nodes keep their real sockets. A [Transport] stands between memberlist and such a socket and asks
// its [Network], for each packet and each stream, whether the link is up:
//
//	n := cutnet.New(1)
//	a, err := n.Listen("a", "127.0.0.1", 0) // and "b", and "c"; for memberlist
//	n.Split([]string{"a"}, []string{"b", "c"})
//	n.Heal()
//
// A link is identified by the names of its ends; an address belongs to the name that listens there,
// from [Network.Listen] or [Network.Wrap] until the transport shuts down. Traffic from or to an
// unknown address passes.
//
// A packet over a cut link is dropped without an error, as on a real network. The link is checked
// when the packet is sent and again when it arrives, so that none arrives once a cut is made. A
// stream needs both directions: with either cut it can't be opened, and open streams are reset.
// Opening fails at once with [ErrCut], so that tests need not wait, where a real network would
// often let it time out.
//
// [Network.Lose] drops packets at random; the seed decides which, in the order in which they are
// sent, so two runs differ as far as the nodes do.
package cutnet
