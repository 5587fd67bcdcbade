// Package clusterbench measures clusters of registries over real sockets of the loopback interface:
// how fast names spread, what they cost in bytes and in heap, how long it takes to join, and what
// partitions are good for.
//
// All nodes run in this process and share its processors. So figures of one node alone are those of
// the machine, whereas in those of n nodes each name is encoded once, sent and decoded n-1 times,
// by the same processors: on machines of their own the nodes would be faster, and the network
// slower. Settings are the defaults of the registry.
//
// [Measure] runs everything several times and shows medians with the lowest and the highest value:
//
//	go test ./registry/internal/clusterbench -run TestMeasure -measure -v -timeout 0
//
// The benchmarks of the package measure the same with the same code, for benchstat.
//
// Bytes are what was handed to the sockets: payloads of packets and of connections, without the
// heads of UDP (28 bytes with IP's) and TCP.
package clusterbench
