// Package hlc implements a hybrid logical clock in nanoseconds.
//
// A timestamp is a wall clock's reading plus a counter. It stays near real time, so that people can
// read it and "newest wins" means what they expect. It never runs backwards on a node, not even
// when the node's wall clock does: a reading that is not newer than the last only raises the
// counter. A node that received a timestamp gives out only newer ones. This is the clock of
// Kulkarni, Demirbas and others, "Logical Physical Clocks and Consistent Snapshots in Globally
// Distributed Databases" (2014). Two nodes may still give out the same timestamp; claims are
// compared by the node's name then, which makes the order total.
//
// # A clock that is far ahead
//
// Without further rules, a node whose clock is a year ahead would win every conflict for a year,
// and other clocks would follow its timestamps. Two rules bound it:
//
//   - A timestamp further ahead of the own wall clock than the tolerated skew is not
//     followed ([Clock.Observe]).
//   - Each node compares its wall clock with those that come in messages ([Clock.Heard]). One
//     that is more than the tolerated skew ahead of the median holds its timestamps back to the
//     median plus the skew, and replaces the newer ones that it has given out. Only the node that
//     wrote a timestamp ever changes it, so all replicas see the same one. Late messages, such as
//     those that waited while this process was stopped, do not count, nor do clocks that show a
//     time before 2020.
//
// A clock that is behind needs no rule: it loses conflicts until it receives newer timestamps.
//
// The package reads no clock: the caller passes the wall clock's reading.
package hlc
