// Package clustertest holds the tests of caches that whole clusters share: real processes, real
// sockets, real signals. It exports nothing; all of it is tests.
//
// Each node is a process: the test binary runs itself again, and what lives there is a registry, a
// cluster.Cache and an HTTP server on loopback. A node is told what to do by lines of JSON on its
// standard input. Its Load asks the test for the value by the same way, so the origin is in the
// test: it counts the loads of each key, gives each value a version of its own, and can be slow,
// fail, panic or say nothing.
//
// Nodes are killed and stopped by signals. Links between them are cut at the ends: a node's
// registry sends nothing over a cut link, and the bytes of its HTTP connections are held back until
// it heals, as a network that loses packets does. A cut has one direction; registry and HTTP are
// cut together or apart.
//
// No test waits for a time to pass and hopes: each waits for something to be seen, up to a patience
// that is only reached if it will never be. What is promised about time is checked with a slack
// that a busy machine needs.
//
// Without flags each test has some ways to own a key and some numbers of nodes, so that they take a
// minute; -short has fewer, -all has them all. TestSoak runs random faults from a seed for as long
// as -soak says, see there.
package clustertest
