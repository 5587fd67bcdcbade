// Package cachevalkey keeps what a cache has loaded on a Valkey or Redis server, so that a process
// that starts finds what others have loaded, and notifies others of what one deletes.
//
// A [Storage] is a cache.Notifier. It works with a single server, with sentinels and in cluster
// mode, and with Valkey and Redis from 7.0. It uses the client library valkey-go, whose options are
// [Options].Client.
//
// # Keys
//
// A key has a lease or a record, with a random ID that is its fence:
//
//	PREFIX:1:k:KEY     'L' ID         a lease: a process loads the key
//	                   'R' ID data    a record
//
// A Read sends one native command for each key, SET with NX and GET, which returns the value or
// places a lease. All who find the lease share its fence. A Write runs a script that compares the
// fence with what is there. So what was loaded before a delete, a write by another, or a loss of
// data is not stored after it. A value of another format counts as no record and is replaced.
//
// A key may contain a hash tag of Redis Cluster, which then chooses its server.
//
// # Logs
//
// Two sorted sets, of [Options].LogSize elements each and on the same server of a cluster, hold
// what was invalidated and deleted. The scores are versions: microseconds by the clock of the
// server, or more, so that they rise also if the clock goes back or the log is lost.
//
//	{PREFIX:1}:tags       each invalidated tag. Each Read returns the latest.
//	{PREFIX:1}:notices    each deleted key and invalidated tag, and by whom. Watch reads it.
//
// A log begins with an entry that invalidates everything. So if the server loses the log, and not
// the records, no record is believed that an invalidation in the lost log may have been about.
//
// [Storage.Watch] uses client-side caching in broadcast mode: the server announces each change of
// the notices and of nothing else, so no fill makes traffic. The announcement has no content; the
// watcher reads the log from where it was. So an interrupted connection loses nothing.
//
// # No distributed lock
//
// Processes that miss the same key at the same time load it all: one load in each process, since a
// flight de-duplicates there, and one in all with package cluster. A lock on the server would save
// the difference at a price: its holder may die or hang while the others wait for the lock to
// expire, and they would wait for a server that is slow as well. A lease makes nobody wait.
//
// # When something is broken
//
//	the server                   what a call does
//	can't be reached             fails at once; the next one tries to connect again
//	hangs                        fails when its context ends; the connection is given up after 4 s
//	restarts, was emptied        works; records are gone, fences are outdated, Watch reports All
//	has foreign values           counts them as no records, and replaces them
//	is out of memory             Read finds records and grants no new fences; Write fails;
//	                             Delete and Invalidate work
//	lacks one node of a cluster  Read leaves out its keys; the log is on one of the nodes, and
//	                             without that one all calls but Write fail
//	is older than Redis 7.0      fails with ErrServerTooOld
//
// No call is retried: the cache decides that.
//
// # Permissions
//
// Where the server has users, this is enough for one, with Options.Prefix for PREFIX:
//
//	ACL SETUSER shop on >password ~PREFIX:* ~{PREFIX:* +hello +ping +client +cluster +eval +evalsha
//	  +get +set +getrange +exists +unlink +del +type +time +zadd +zcard +zrange +zpopmin
//
// # Reading the source
//
// Open storage.go first. scripts.go has what runs on the server, layout.go the format, watch.go the
// notices, and connection.go what keeps a server that hangs from holding up callers.
package cachevalkey
