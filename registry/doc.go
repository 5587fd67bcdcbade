// Package registry is a partitioned registry of names, replicated to every node of a cluster by gossip.
package registry
