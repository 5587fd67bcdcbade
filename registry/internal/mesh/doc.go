// Package mesh knows the other nodes and carries frames to them. It is a thin shell around
// hashicorp/memberlist: who is a member, who may become one, and three paths to send by. What the
// frames mean is not its business.
//
// # Paths
//
// [Mesh.Broadcast] sends an update to all members, straight in packets while they are few. Among
// many it puts it into a bounded queue from which memberlist fills packets of gossip, and each node
// that receives news passes it on by [Mesh.Relay], so a node sends each update only a few times:
// see retransmits. A queue that is full says so and drops nothing; while the node is alone it takes
// nothing, since nothing would empty it.
//
// [Mesh.Send] and [Mesh.SendAll] queue a message for one member or all. Each member has a goroutine
// and a queue bounded in bytes; it packs what waits into frames of up to 256 KiB, and opens a
// connection for each, which is memberlist's way. Dialling, and writing, take three seconds at the
// most. A member that is dead or slow loses its own queue and slows no other.
//
// [Mesh.Probe] sends small messages in packets of their own; those to one member within about two
// milliseconds share packets.
//
// Nothing is acknowledged or sent twice. The layer above finds out what is missing by itself.
// Memberlist's exchange of state carries membership alone, so no message grows with what the nodes
// hold.
//
// A frame is taken from members only. One of a node that is not known, most often because the word
// of its joining has not come round, is counted and dropped, and so is one of an earlier run of a
// member, or of the own name.
//
// # Hello
//
// A node that wants to join says hello first, see hello.go: one question and one answer on the
// connection over which memberlist then exchanges memberships. By types, and not by the texts of
// memberlist's errors, it shows whether the keys of the two fit ([*KeyError]), whether a node of
// this module is there at all ([*ForeignError], [ErrNoAnswer]), and whether that is the node itself
// ([ErrSelf]), whose address may be spelt in many ways. Memberlist's own exchanges, and its
// messages, begin with another byte and pass by the hello.
//
// # Who may join
//
// All nodes of a cluster have the same [Identity]. It is in the metadata that memberlist spreads,
// together with the incarnation of the node's run, and is looked at in two places: when two nodes
// meet, by both before either merges anything, and with each later word of a live node, so that
// clusters do not merge by hearsay. The joiner gets a [*MismatchError] from [Mesh.Join] that says
// field by field what differs; the other side logs the same and calls Handler.Refused.
//
// Names are unique. A joiner whose name a live member at another address has gets a
// [*DuplicateNameError]; it has merged nothing, and the cluster does not know it. A node that comes
// back at the same address is taken in at once, with NodeUp for its new incarnation. At another
// address it is taken in as soon as the one before is declared dead; the error says how long that
// may take. Two nodes that join under one name at the same moment in different places may both be
// taken in; each member then keeps the one that it saw first, and Handler.Refused is called, on the
// two themselves, too.
//
// A node that comes back at the same address as one of another kind answers the probes for the one
// before, and memberlist would keep that alive for ever. So answers carry the identity's hash and
// the incarnation. Who gets an answer of another kind speaks to that address no more, and the
// member is soon declared dead. A new incarnation leads to an exchange at once.
//
// # Coming and going
//
// Handler.NodeUp and NodeDown come in order for each node. Memberlist does not say whether a node
// left or died; so [Mesh.Leave] tells each member, and waits for their answers, before memberlist
// tells them.
//
// Memberlist forgets the dead after half a minute, and two halves of a cluster that were apart for
// longer would stay apart. So a mesh remembers the addresses of members that died, for a day, and
// its seeds as names, for good. Every few seconds it looks the names up and tries addresses at
// which no member is: see rejoin. A node of another cluster that answers there does no harm: that
// is logged once, and the address rests for some rounds.
//
// # Keys
//
// With keys, all packets and connections are encrypted with AES-GCM; what no key decrypts is
// counted and reported to Handler.Rejected. Keys are changed while the cluster runs: see
// [Mesh.InstallKey]. Without keys, anyone who reaches the port can speak for any node.
//
// # Logs and metrics
//
// Memberlist's lines go to the config's logger. Nearly all go to the debug level, its errors about
// a peer that does not answer too; what an operator should know is at info and warn. A
// line that repeats is logged once in ten seconds, with a count. That a packet can't be decrypted
// memberlist says in a line of its log and nowhere else, so [ErrKey] for packets depends on that
// line: TestPacketsUnderAnotherKey holds it to its text. Memberlist also writes to the process's
// global go-metrics, which throws all away unless the program installs a sink there.
package mesh
