// Package clustertest holds the tests of whole clusters: real registries over real memberlist and
// real sockets. It exports nothing; all of it is tests.
//
// A test enters what each node must see (see cluster.want) and waits until all of them do. The
// nodes are registries in the test's own process, over plain sockets or over links that package
// cutnet cuts, or processes: the test binary runs itself again, and gets requests as lines of JSON.
// If the tests run as root on Linux, processes are also put into network namespaces, and the bridge
// between them is taken apart.
//
// No test waits for a time to pass and hopes. Each waits for something to be seen, up to a patience
// that is only reached if it will never be; the times that it took are logged, not judged.
package clustertest
