// Package ownership finds the node that owns a key, and claims names so that each key has an owner.
// Read ownership.go first (the interface), then slots.go or keys.go, which claims.go serves.
//
// # Names
//
// Keys are owned one by one ([NewKeys]), by slot ([NewSlots]), where a slot stands for all keys
// that hash to it, or by ring ([NewRing]). A key or a slot has a name in the registry, and its
// owner is the holder of the name. So all nodes that see each other agree on the owner, also while
// nodes come and go, and the registry resolves the conflict of two nodes that claimed a name on
// both sides of a split. The loser calls Config.Lost for each of its keys that it does not own any
// more. After a split many thousand names are lost at once, so it goes through its entries as few
// times as possible.
//
// # The home of a name that nobody holds
//
// If each node claimed a name that it needs, all nodes would claim the name of a cold key for which
// all of them have callers at the same moment. So a name that nobody holds has a home. The home is
// the member whose hash with the name is the highest, by rendezvous hashing (Thaler and
// Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on
// Networking 6(1), 1998); all nodes compute it alike. Only the home claims the name, when it has an
// entry for it. If the nodes' views of the members differ for a moment, two nodes may claim a name;
// the registry resolves that too.
//
// A holder that is no member, because it does not run the cache or runs it with other options,
// can't be asked, so its name counts as one that nobody holds. When the home tries to claim it, the
// registry answers that the name is taken, and the home's entries are lost at once.
//
// # By key
//
// A key's name is claimed, behind the load, when there is an entry. It is released when the entry
// has left the cache and did not come back for Config.IdleRelease. A key whose load stores nothing
// has no name. A call of Owner for an idle key keeps its name. A node that joins takes nothing from
// the others.
//
// # By slot
//
// A plan says which member should hold which slot. Every member gets as many slots as the others,
// one more or less, with the fewest moves from the present holders. The plan is a pure function of
// the holders and the members, so all nodes compute the same one. It stays the same while it is
// carried out, so they also do at different moments.
//
// Each node looks at the slots once a Config.Round. After the members have been the same for
// Config.Settle, it claims the slots that nobody holds and that the plan gives it, and releases
// those that the plan gives to others. All nodes together release at most an eighth of the slots in
// a round. So eight rounds suffice, and the keys that have to be loaded again do not come all at
// once. A node that is back before Config.Settle has passed finds its slots as it left them. A slot
// that nobody holds and that is needed before the next round is claimed when it has an entry; its
// home is the member to which the plan gives it. The nodes' rounds need no coordination, since a
// look reads local memory alone: 0.2 ms for 1,024 slots.
//
// # By ring
//
// Consistent hashing as in groupcache: each member has points on a ring, and owns the keys between
// a point and the one before. There are no names, so nodes that see different members send a key to
// different owners, and a node that joins takes its share of all keys at once.
//
// # What it costs
//
// Measured on two busy cores; BenchmarkHeap and the others measure it again. By key, a million keys
// take 1.4 GB on their owners together, of which the registry and its contexts take 1.1 GB, and
// 0.26 GB on each other node. A claim takes 17 µs where there are 200,000 and 33 µs where there are
// a million, since the garbage collector looks at all of them; a release takes 9 to 17 µs. A node
// that joins knows a million after 2.5 s. 1,024 slots take 1 MB and 0.4 MB, however many keys there
// are, and 6 ms. Owner takes 0.12 to 0.17 µs by key and by slot, 0.04 µs by ring.
package ownership
