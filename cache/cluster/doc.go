// Package cluster is a cache that loads each key once in the whole cluster: a key has one owner among the nodes, which
// loads it and keeps it; the others ask the owner, and keep a copy for a short time.
package cluster
