// Package clusterload runs a cluster of registries under load, harms it, and measures what
// happened.
//
// [Execute] takes a registry scenario. For each number of partitions in it, one after the other and
// with the same seed, it starts the nodes on loopback sockets, in this process or as processes of
// their own, registers the names that are there from the start, and waits until all nodes see them.
// That is the time 0 of the run. Then changes come at a steady rate, whether or not the cluster
// keeps up with them: each registers a name on some node or has its holder release it. Within the
// window the disturbance strikes, and two nodes at a time claim the same names. When the load has
// ended, the run goes on until all nodes agree or its patience is over, and then every name is
// asked for on every node.
//
// # How it is measured
//
// A ledger keeps what was done: who registered, when it was meant to be done, and what became of
// it. A claim's metadata carry its number in the ledger. Each node reports what it sees change,
// with the time at which it saw it. So a claim is known to be visible on a node from the very
// moment; the time counts from when the registration was meant to be made, and it belongs to the
// phase in which that was. Names that two nodes claim are left out of these times: one of the
// claims may never become visible.
//
// A view is one name on one node. It is behind if it is not what the ledger says that it must be:
// the holder that the resolver prefers among the living, or nobody. The cluster is whole again when
// no view is behind of what was changed until the disturbance ended. What changes later is then
// under way as it always is, and is left out.
//
// At the end each claim is accounted for: alive, released, dead with its node, refused, or lost to
// another. A name has at most one claim alive; each conflict has told all but one; no node shows a
// claim that is not alive (a zombie); no two nodes show different holders.
package registry
