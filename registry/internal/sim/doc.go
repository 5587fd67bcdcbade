// Package sim runs the replica core of several nodes in one deterministic world.
//
// # Model
//
// A [World] has 2 to 7 nodes (the flapping test: 16), each with one core per partition, a hybrid
// clock and a wall clock that may be skewed, stepped or years ahead. Between each two nodes there
// is a link each way, which delays messages at random (so they overtake each other), doubles and
// drops them, or is cut. Nodes pause (what comes waits), crash (all is lost), restart (same name,
// another incarnation, lower if the clock was set back) and leave. Membership is a stand-in for
// SWIM: each node finds out about each other one by itself, after a while, and may be wrong, so
// that views differ. The shell is a model of registry's: it ticks when the core asked for it,
// flushes own changes as broadcasts that may be lost (a backlog by reliable send), relays news to a
// few nodes, and posts the core's envelopes.
//
// Nothing in a world depends on anything but its [Setup] and its list of [Step]s, both drawn from a
// seed ([NewSetup], [Steps]): there is no goroutine, no clock and no map order in it. A step that
// can't be done does nothing, so any part of the list is a valid list; that is what [Minimise]
// relies on.
//
// In one world of twenty names change all the time: each node holds some of its own, and every so
// often releases the oldest and registers the next ([Churn]). Its calm never comes. The faults end,
// all nodes must catch up in spite of the churn, and go on so for ten seconds; only after the last
// check does the churn end, for the rest below.
//
// A step [Calm], and the end, heals all, ends all faults and waits until the world has come to
// rest: no queue, no message but summaries, no unfinished repair, and every summary says the same.
// If that takes more than two simulated minutes, that is a violation. Then it checks; and in half
// of the worlds it releases names and registers them on other nodes.
//
// # Invariants
//
// At every step:
//
//   - WinnerIsResolved: a lookup finds what the resolver (written a second time here) picks among
//     the visible claims; whoever withdrew a claim did so for one that the resolver prefers; no
//     disagreement is reported.
//   - EventsConsistent: the events, replayed, and the published winners give the lookup table.
//   - OwnAuthority: a node's claims change by its own calls and by losses only.
//   - LosersTold: a claim that vanished without a local call came with a loss, and one that is
//     seen to be worse than another is given up at once.
//   - Authentic: what is shown anywhere was written by its node, word for word.
//   - DownIsHidden: claims of a node that is seen to be down are not shown.
//   - NoHearsay: claims are hidden because of this node's own membership, never on another node's
//     word.
//   - ShownWhenConfirmed: the claims of a node that came up are shown only after somebody spoke for
//     it, and none that had ended by then; a replica speaks for the node only when it has come as
//     far.
//   - NeverAnew: what a replica asks for of an origin never begins before where it had come to.
//   - Monotone: timestamps of a node's claims grow, unless its clock was found ahead; if all clocks
//     are right, they are the time of the claim.
//   - RegisterIsHonest: a registration fails exactly if the name is seen to be taken, and names the
//     holder.
//   - ChunksBounded, TombstonesBounded: messages and what is kept stay within their limits.
//   - MayRest: a Tick before the moment that Next returns does nothing.
//   - NoPanic.
//
// While names change all the time, and the faults are over:
//
//   - CatchesUp: every node catches up with every other.
//   - RecordsBounded: nobody is sent more records of a node, in chunks, than that has claims and
//     makes changes.
//   - AllRegistered, NoZombie: what has been so for five seconds is known everywhere.
//
// At rest:
//
//   - AllRegistered: every claim that stands is known everywhere, in its latest form.
//   - ThereCanBeOnlyOne: one node holds a name, and all name the same one.
//   - NoZombie: no lookup returns a holder that is gone at its own node.
//   - AllMessagesProcessed: the world comes to rest at all, nothing waits in a buffer.
//   - WinnerIsResolved: the best of the claims that stood at the heal survives, if nobody released.
//   - Retakable: a name that was released can be registered on another node, which keeps it.
//   - ClockBounded: no claim is ahead of all other nodes' clocks by more than the tolerated skew.
//
// # Running it
//
//	go test ./registry/internal/sim    as many seeds as fit into -sim.budget (20 s)
//	go test ./registry/internal/sim -run TestSeeds -v -sim.seeds 1000000 -timeout 0
//	go test ./registry/internal/sim -run TestSeeds -v -sim.seed 42    one seed, with all that happens
//
// The budget is time, not a number of seeds, so that the test takes as long on a slow machine or
// under the race detector; it prints how many seeds that were. A seed that fails is minimised and
// told: setup, steps, messages, and both views of what was violated. The same seed fails alike,
// until the core or this package changes.
//
// TestPlantedBugs compiles the core with some forty bugs in it, by an overlay that changes lines of
// its source, switches one on at a time, and wants each caught. It fails if a line to be changed is
// no longer there. TestFlapping lets the links of 16 nodes flap for a simulated minute and bounds
// queues, messages per flap and the time until all is whole. TestSynRace is the race of syn's
// model, by hand; TestSlowAnswers and TestTwoRunsApart are for bugs that seeds found and meet
// rarely.
package sim
