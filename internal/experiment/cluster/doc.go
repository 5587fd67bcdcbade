// Package cluster is the engine of "cachebench cluster": nodes in processes of their own share a
// cache, each is driven by a load of its own, an origin counts what it is asked for, and something
// is done to the nodes meanwhile. The same is run once for each kind of ownership, and the results
// stand side by side. Begin with execute.go; checks.go and reasons.go have what is promised.
package cluster
