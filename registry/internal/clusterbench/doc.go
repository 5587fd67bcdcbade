// Package clusterbench has the benchmarks of clusters of registries over real sockets of the
// loopback interface: how fast names spread, what they cost in bytes and in heap, and how long it
// takes to join.
//
//	go test ./registry/internal/clusterbench -run '^$' -bench . -count 5
//
// benchstat makes medians of that. All nodes run in this process and share its processors: in a
// cluster of n nodes each name is encoded once, sent and decoded n-1 times, by the same processors.
// On machines of their own the nodes would be faster, and the network slower. Settings are the
// defaults of the registry.
//
// Bytes are what was handed to the sockets: payloads of packets and of connections, without the
// heads of UDP (28 bytes with IP's) and TCP.
//
// One node alone is measured by the benchmarks of package registry. "cachebench registry" measures
// clusters under a steady load, with any number of partitions side by side.
package clusterbench
