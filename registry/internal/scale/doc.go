// Package scale says what a large registry costs: 100 and 1,000 nodes, 100,000 and 10,000,000
// names.
//
// A [World] is one partition of the real core ([replica.Partition]) on each node, with a model of
// the network and of the shell around the core: what changes waits 2 ms, goes straight to each node
// of a small cluster and by gossip in a large one (memberlist's own queue, filled and emptied as
// memberlist does), digests are compared every two seconds, and what is too large for a packet goes
// over a connection. Each message counts as many bytes as package wire makes of it. Time is
// simulated; nothing in it depends on the machine. Of the partitions that a registry has, one is
// simulated, with its share of names: they have nothing in common but packets.
//
// What does not fit into memory that way is computed, by [Model], from sizes that package wire
// gives and bytes of heap that are measured. Each figure says which it is.
//
// Left out are the heads of UDP, TCP and IP, lost packets, the bandwidth of links and the time of
// processors, and the broadcasts that memberlist lets ride on its own probes.
//
//	go test ./registry/internal/scale -run TestScale -scale -v -timeout 0
//
// makes the tables and the curves of docs/scale.md anew: make scale.
package scale
