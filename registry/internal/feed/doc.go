// Package feed passes events to subscribers that may be slow. A publisher never waits: a
// [Subscription] keeps the newest events up to a limit, and one event with the number of those that
// it dropped.
package feed
