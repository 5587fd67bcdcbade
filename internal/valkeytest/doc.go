// Package valkeytest runs real Valkey or Redis servers for tests and for cachebench: on a port of
// 127.0.0.1, in a temporary directory, and without persistence unless it is asked for.
//
// [Start] takes valkey-server or redis-server from PATH. A [Server] can be stopped, killed, paused
// as a process that hangs, and started again, empty, at the same address. [StartCluster] starts
// several as a cluster. A test uses [Run] or [RunCluster], which skip it with a reason if there is
// no server, and close what they started at the test's end.
//
// Open server.go first.
package valkeytest
