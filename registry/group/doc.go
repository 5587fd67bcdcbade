// Package group keeps groups: many members under one name, spread over the nodes of a cluster, and
// every node knows all of them.
//
// # The model
//
// [Open] returns the groups of a [registry.Registry]. A piece of the program with a life of its
// own, a connection say, joins a group under the context that it lives under and gets a
// [Membership]. When its context ends, it is no member any more; when the registry closes, the
// membership's context ends. The same holder may be in many groups, and many members of one node in
// the same group. Who is in a group is a read of local memory: [Groups.Members] takes no lock and
// does not block. [Groups.Watch] reports the members that come and go.
//
// A group exists while it has members. Its name is any 1 to [registry.MaxName] bytes, and has
// nothing to do with the registered name of the same bytes.
//
// # How it is replicated
//
// Package registry's protocol does it. The names of groups are a second space of names, with
// partitions of its own: as many as [registry.Config].Partitions, each with its own goroutine, lock
// and bounded queue, so that crowded groups hold up no registration. What a node says of a group is
// one claim, whose metadata list the node's members. The claims of all nodes on one name stand side
// by side, and the members of the group are all that is listed in them. A node alone writes its own
// list; so there is no conflict, and no message from a third node can bring back a member that has
// left.
//
// Both sides of a split network go on alone, each with the members that it can see. When they meet
// again, each shows the members of both. A node that is no longer seen has its members hidden at
// once. If it was only cut off, they come back when it does; if it has started anew, they are
// dropped.
//
// The second space sleeps until somebody opens it. Opening it on one node wakes it on all, and each
// has a full copy from then on; a cluster that never does pays nothing.
//
// # What it costs
//
// A change sends the node's whole list of the group's members, once however many changes there were
// within some milliseconds. The list has a version byte and takes, for each member, some 8 bytes
// and its metadata; all of one node's members of one group share [MaxBytes]: about 7,500 members
// without metadata, 800 with 64 bytes each. Past that [Groups.Join] fails with a [*FullError]. A
// join reads and writes the list: some 10 µs in a small group, and near half a millisecond in one
// of 1,000 local members. That is right for hundreds of members on a node, and for many groups.
// Where thousands change all the time, split the group by a number in its name, and take the union
// of the parts.
//
// Back-pressure is the registry's: when the queue of the group's partition is full, Join and
// [Membership.Update] wait for room until their context ends. Leaving never waits.
//
// # Compared with syn
//
// The model is syn_pg, the process groups of syn (https://github.com/ostinelli/syn). Alike are: the
// local authority of each node over its own members, a full copy on every node, metadata, many
// members of one node, several groups for one member, members of a lost node that go at once, both
// sides of a split that stay available. Different are:
//
//	syn                                   here
//	a scope process takes all joins       as many partitions as the registry has
//	a process joins once per group        each Join is a membership, so one holder may have two
//	a member is a process identifier      a Member is its node and an ID, with metadata
//	joins from any node for any process   a member joins where it lives
//	one message per join and per leave    one list of the node's members per some milliseconds
//	a message that is lost is lost        numbered changes: what was lost is noticed and fetched
//	publish, multi_call                   send by yourself: metadata hold the addresses
//	join again to change metadata         [Membership.Update] with a function of the old ones
//
// # What is not promised
//
// That all see the same members at the same moment: a view is as old as the news takes, tens of
// milliseconds in a healthy network, and the time that it takes to notice a dead node where one is
// involved. That each change is seen: a member that joins and leaves within milliseconds may never
// be shown elsewhere.
package group
