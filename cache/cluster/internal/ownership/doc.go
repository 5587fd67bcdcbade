// Package ownership says which node owns a key, and sees to it that somebody does.
//
// # Units
//
// What is owned is a unit: a key ([NewKeys]), a slot that stands for all keys that hash to it ([NewSlots]), or an arc of a ring
// ([NewRing]). A unit of the first two kinds is a name in the registry of names, and its owner is the node that holds the name. So all
// nodes that see each other agree on the owner, also while nodes come and go, and two nodes that came to own a unit on both
// sides of a split are settled by the registry.
//
// # The home of a unit that nobody holds
//
// If whoever needs a unit first claimed it, a cold key that is asked for on all nodes at the same moment would be claimed by all
// of them. So a unit that nobody holds has a home: the one member that all nodes compute alike, by rendezvous hashing (Thaler and
// Ravishankar, "Using name-based mappings to increase hit rates", 1998): the member whose hash with the unit is the highest. Only the
// home claims it. If views of who is a member differ for a moment, two nodes may claim; the registry settles that too.
//
// # By key
//
// The name is claimed when the key is loaded, and given up when its entry has left the cache and did not come back for
// Config.IdleRelease. A node that joins takes nothing from the others.
//
// # By slot
//
// A plan says who should hold which slot: every member as many as the others, one more or less, with the fewest moves from
// what is held now. It is a pure function of the holders and the members, so all nodes come to the same one. Once the
// members have been the same for a while, each node claims the slots that nobody holds and that the plan gives it, and gives up those
// that the plan gives to others, some at a time: a node that restarts does not set all slots moving. A slot that
// nobody holds and that is needed before is claimed when it is asked for.
//
// # By ring
//
// Consistent hashing as in groupcache: each member has points on a ring, and owns the keys between a point and the one before. There are
// no names, so nodes whose members differ send a key to different owners, and a node that joins takes its share of all keys at once.
package ownership
