// Package cluster is "cachebench cluster": nodes in processes of their own share a cache, each has
// a load of its own, an origin counts what it is asked for, and something is done to the nodes
// meanwhile. The same is run once for each kind of ownership, and the results stand side by side.
//
// Read experiment.go first, and then run.go and disturb.go for what the parent does, and node.go
// and load.go for a node's process. The origin and what it notes of a load are in origin.go.
// collect.go makes a result of all this, and reasons.go holds the loads to what the cluster
// promises.
package cluster
