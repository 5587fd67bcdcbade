// Package registry runs a cluster of registries under load, disturbs it, and measures how it comes
// to agree again: "cachebench registry".
//
// For each number of partitions, one after the other and with the same seed, a run starts the
// nodes, registers the names that are there from the start, and waits until all nodes show them.
// That is the time 0 of the run. Then changes come at a steady rate, whether or not the cluster
// keeps up with them. Within the window the cluster is disturbed, and two nodes at a time claim the
// same names. When the load has ended, the run goes on until all nodes agree or its patience is
// over, and then every name is asked for on every node.
//
// # How it is measured
//
// A ledger records each registration: its node, when it was meant to be made, and what became of
// it. The metadata of a claim carry its number in the ledger. Each node reports the changes that it
// sees and when it saw them, so the time at which a claim became visible on a node is exact. It
// counts from when the registration was meant to be made, and belongs to the phase in which that
// was. Names that two nodes claim are left out of these times: one of the claims may never become
// visible.
//
// A view is one name on one node. It is behind if it does not show what the ledger says: the holder
// that the resolver prefers among the living, or none. The cluster is whole again when no view is
// behind of a change that was made before the disturbance ended. Later changes are under way, as
// some always are, and do not count.
//
// At the end each claim is accounted for: alive, released, dead with its node, refused, or lost to
// another. A name has at most one claim alive; each conflict has told all losers; no node shows a
// claim that is not alive (a zombie); no two nodes show different holders.
//
// # Reading the source
//
// Start with run.go, a run from its beginning to its end. load.go makes the changes and disturb.go
// the disturbance. node.go has what nodes are asked, in this process (local.go) or in another
// (process.go); cluster.go keeps them. ledger.go, views.go and audit.go are the ledger, and
// sampler.go fills it. The parameters and what people see of a result start in experiment.go.
package registry
