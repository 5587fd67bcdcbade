// Package scale measures the costs of a large registry: 100 and 1,000 nodes, 100,000 and 10,000,000
// names.
//
// A [World] is one partition of the real core ([replica.Partition]) on each node, with a model of
// the network and of the shell around the core: changes wait 2 ms, go straight to each node of a
// small cluster and by gossip in a large one (memberlist's own queue, filled and emptied as
// memberlist does), digests are compared every two seconds, and messages that are too large for a
// packet go over a connection. Each message counts the bytes that package wire encodes it to. Time
// is simulated; nothing depends on the machine. Of the partitions of a registry, one is simulated,
// with its share of names: they have nothing in common but packets.
//
// What does not fit into memory that way is computed, by [Model], from the sizes of package wire
// and from measured bytes of heap. Each figure says which it is.
//
// Left out are the headers of UDP, TCP and IP, lost packets, the bandwidth of links and the time of
// processors, and the broadcasts that memberlist adds to its own probes.
//
//	go test ./registry/internal/scale -run TestScale -scale -v -timeout 0
//
// makes the tables and the curves of docs/scale.md anew: make scale.
package scale
