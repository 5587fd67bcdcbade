// Package group keeps groups: many members under one name, spread over the nodes of a cluster.
// Every node knows all of them.
//
// # The model
//
// [Open] returns the groups of a [registry.Registry]. A holder, which is any part of the program
// with a life of its own, such as a connection, joins a group with the context that it runs under,
// and gets a [Membership]. When its context ends, it is no member any more; when the registry
// closes, the membership's context ends. One holder may be in many groups, and a group may have
// many members on one node. [Groups.Members] reads local memory: it takes no lock and does not
// block. [Groups.Watch] reports the members that come and go.
//
// A group exists while it has members. Its name is any 1 to [registry.MaxName] bytes, and is
// independent of a registered name with the same bytes.
//
// # How it is replicated
//
// Groups use the protocol of package registry. Their names are a second space of names, with
// partitions of its own: as many as [registry.Config].Partitions, each with its own goroutine, lock
// and bounded queue, so that crowded groups delay no registration. Each node makes one claim on a
// group, whose metadata list the node's members. The claims of all nodes on one name stand side by
// side, and the members of the group are those in all the lists. Only a node itself writes its
// list; so there is no conflict, and no message from a third node can bring back a member that has
// left.
//
// Both sides of a split network go on alone, each with the members that it can see. When they meet
// again, each shows the members of both. When a node is no longer seen, its members are hidden at
// once. If it was only cut off, they come back when it does; if it has started anew, they are
// dropped.
//
// The second space sleeps until a node opens it. That wakes it on all nodes, and each has a full
// copy from then on; a cluster that never opens it pays nothing.
//
// # What it costs
//
// A change sends the node's whole list of the group's members, once for all changes within some
// milliseconds. The list has a version byte and takes, for each member, some 8 bytes and its
// metadata; all of one node's members of one group share [MaxBytes]: about 7,500 members without
// metadata, 800 with 64 bytes each. Past that [Groups.Join] fails with a [*FullError]. A join reads
// and writes the list: some 10 µs in a small group, and near half a millisecond in one of 1,000
// local members. That suits hundreds of members on a node, and many groups. If thousands of members
// change all the time, split the group by a number in its name, and take the union of the parts.
//
// Back-pressure is the registry's: when the queue of the group's partition is full, Join and
// [Membership.Update] wait for room until their context ends. Leaving never waits.
//
// # Compared with syn
//
// The model is syn_pg, the process groups of syn (https://github.com/ostinelli/syn). These are
// alike: only a node itself writes its members, every node has a full copy, members have metadata,
// a node may have many members, a holder may be in several groups, the members of a lost node go at
// once, both sides of a split stay available. These differ:
//
//	syn                                   here
//	a scope process takes all joins       as many partitions as the registry has
//	a process joins once per group        each Join is a membership, so one holder may have two
//	a member is a process identifier      a Member is its node and an ID, with metadata
//	joins from any node for any process   a member joins where it lives
//	one message per join and per leave    one list of the node's members per some milliseconds
//	a message that is lost is lost        numbered changes: gaps are detected and repaired
//	publish, multi_call                   the program sends; metadata hold the addresses
//	join again to change metadata         [Membership.Update] with a function of the old ones
//
// # What is not promised
//
// That all nodes show the same members at the same moment: news takes tens of milliseconds in a
// healthy network, and the death of a node some seconds to be detected. That each change is seen: a
// member that joins and leaves within milliseconds may never be shown on other nodes.
package group
