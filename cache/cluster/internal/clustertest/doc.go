// Package clustertest has the tests of cluster caches in real processes, with real sockets and
// signals. It exports nothing; all of it is tests. Read cluster_test.go first (the cluster that a
// test starts), then process_test.go and node_test.go (both ends of a node), and calm_test.go for
// the simplest tests.
//
// Each node is a process of its own: the test binary runs itself again, with a registry, a
// cluster.Cache and an HTTP server on loopback. A node gets its commands as lines of JSON on its
// standard input. Its Load asks the test for the value in the same way, so the origin is in the
// test: it counts the loads of each key, gives each value a version of its own, and can be slow,
// fail, panic or not answer.
//
// Nodes are killed and stopped by signals. Links between them are cut at their ends: a node's
// registry sends nothing over a cut link, and the bytes of its HTTP connections are held back until
// it heals, as on a network that loses packets. A cut has one direction; registry and HTTP are cut
// together or apart.
//
// No test waits for a fixed time: each waits for something to happen, up to a bound that is reached
// only if it never happens. Promises about time are checked with the slack that a busy machine
// needs.
//
// Without flags each test runs with some ownerships and some numbers of nodes, which takes a
// minute; -short has fewer, -all has them all. TestSoak runs random faults from a seed for as long
// as -soak says.
package clustertest
