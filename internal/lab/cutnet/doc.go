// Package cutnet is a network whose links can be cut, for tests and load runs of what stands on
// memberlist.
//
// Nodes keep their real sockets. A [Transport] stands between memberlist and such a socket and asks
// its [Network], for each packet and each stream, whether the link is up:
//
//	n := cutnet.New(1)
//	a, err := n.Listen("a", "127.0.0.1", 0) // and "b", and "c"; for memberlist
//	n.Split([]string{"a"}, []string{"b", "c"})
//	n.Heal()
//
// A link is known by the names of its ends; an address belongs to the name that listens there, from
// [Network.Listen] or [Network.Wrap] until the transport shuts down. At all other times an address
// is a name of its own. So a process can have a network for itself, and cut the links to nodes that
// are other processes: a link is cut for good if both of its ends cut it.
//
// A packet over a cut link is dropped and its sender told nothing, as on a real network. It is
// looked at when it is sent and again when it arrives, so that none arrives once a cut is made. A
// stream needs both directions: with either cut it can't be opened, and those that are open are
// reset. Opening fails at once with [ErrCut], where a real network would often let it time out:
// tests need not wait.
//
// [Network.DialContext] is for HTTP, whose connections a real network leaves open over a cut link.
//
// Packets are lost at random with [Network.Lose]; the seed decides which, in the order in which
// they are sent, so two runs differ as far as the nodes do.
package cutnet
