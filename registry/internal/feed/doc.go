// Package feed hands events to subscribers that may be slow. A publisher never waits: a
// [Subscription] keeps the newest events up to a limit, and says in the place of the others how
// many they were.
package feed
