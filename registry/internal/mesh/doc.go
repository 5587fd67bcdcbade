// Package mesh tracks the other nodes and carries frames to them. It is a shell around
// hashicorp/memberlist: who is a member, who may become one, and three paths to send by. It does
// not read the messages in the frames.
//
// To read the code, open mesh.go, then delegate.go for memberlist's calls, and broadcast.go,
// send.go and probe.go for the three paths.
//
// # Paths
//
// [Mesh.Broadcast] sends an update to all members. While they are few, it goes straight to each in
// packets. Among many it goes into a bounded queue from which memberlist fills packets of gossip,
// and each node that receives news passes it on by [Mesh.Relay], so that a node sends each update
// only a few times: see retransmits. A full queue refuses more and drops nothing; while the node is
// alone it accepts nothing, since nothing would empty it.
//
// [Mesh.Send] and [Mesh.SendAll] queue a message for one member or all. Each member has a goroutine
// and a queue bounded in bytes. The goroutine packs the queue into frames of up to 256 KiB, and
// opens a connection for each, as memberlist does. Dialling and writing take three seconds at the
// most. A member that is dead or slow fills its own queue and delays no other.
//
// [Mesh.Probe] sends small messages in packets of their own; those to one member within about two
// milliseconds share packets.
//
// Nothing is acknowledged or sent twice. The layer above detects what is missing. Memberlist's
// exchange of state carries membership alone, so no message grows with the number of names.
//
// Only frames of members are accepted. A frame of an unknown node, most often one whose joining is
// not known here yet, is counted and dropped, and so is one of an earlier run of a member, or of
// this node's own name.
//
// # Hello
//
// A node that wants to join says hello first, see hello.go: one question and one answer on the
// connection over which memberlist then exchanges memberships. By types, and not by the texts of
// memberlist's errors, the joiner learns whether the keys fit ([*KeyError]), whether a node of this
// module is there ([*ForeignError], [ErrNoAnswer]), and whether that is the node itself
// ([ErrSelf]), whose address may be spelt in many ways. Memberlist's own exchanges and messages
// begin with another byte, and skip the hello.
//
// # Who may join
//
// All nodes of a cluster have the same [Identity]. It is in the metadata that memberlist spreads,
// together with the incarnation of the node's run, and is checked in two places: by both sides when
// two nodes meet, before either merges anything; and with all later news of a live node, so that
// clusters do not merge by hearsay. The joiner gets a [*MismatchError] from [Mesh.Join] with each
// field that differs; the other side logs the same and calls Handler.Refused.
//
// Names are unique. A joiner whose name a live member at another address has gets a
// [*DuplicateNameError]; it has merged nothing, and the cluster does not know it. A node that comes
// back at the same address is accepted at once, with NodeUp for its new incarnation. At another
// address it is accepted as soon as the member before is declared dead; the error says how long
// that may take. If two nodes join under one name at the same moment in different places, both may
// be accepted; each member then keeps the one that it saw first, and Handler.Refused is called, on
// the two themselves, too.
//
// If a node of another identity starts at the address of a member that died, it answers the probes
// for that member, and memberlist would keep the member alive for ever. So answers carry the
// identity's hash and the incarnation. A node that gets an answer with another hash stops sending
// to that address, and the member is soon declared dead. A new incarnation leads to an exchange at
// once.
//
// # Coming and going
//
// Handler.NodeUp and NodeDown come in order for each node. Memberlist does not report whether a
// node left or died; so [Mesh.Leave] notifies each member, and waits for their answers, before
// memberlist does.
//
// Memberlist forgets the dead after half a minute, and two halves of a cluster that were apart for
// longer would stay apart. So a mesh remembers the addresses of members that died, for a day, and
// its seeds as names, for good. Every few seconds it looks the names up and tries addresses at
// which there is no member: see rejoin. If a node of another cluster answers there, that is logged
// once, and the address rests for some rounds.
//
// # Keys
//
// With keys, all packets and connections are encrypted with AES-GCM. What no key decrypts is
// counted and reported to Handler.Rejected. Keys can be changed while the cluster runs: see
// [Mesh.InstallKey]. Without keys, anyone who reaches the port can speak for any node.
//
// # Logs and metrics
//
// Memberlist's lines go to the config's logger: nearly all to the debug level, those about a peer
// that does not answer included, and those for the operator to info and warn. A line that repeats
// is logged once in ten seconds, with a count. Whether a stream without a hello is encrypted shows
// by its first byte. That a packet or such a stream is under another key memberlist reports in its
// log alone, so [ErrKey] for these depends on the text of two lines: TestPacketsUnderAnotherKey
// fails if they change. The levels depend on texts, too; a line that changes goes to debug.
//
// Memberlist also writes to the process's global go-metrics, which discards all unless the program
// installs a sink there.
package mesh
