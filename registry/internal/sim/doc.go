// Package sim runs the replica core of several nodes in one deterministic world. To read the code,
// open world.go, then node.go for the model of the shell and invariant.go for the checks.
//
// # Model
//
// A [World] has 2 to 7 nodes (the flapping test: 16), each with one core per partition, a hybrid
// clock and a wall clock that may be skewed, stepped or years ahead. Between each two nodes there
// is a link each way, which delays messages at random (so they overtake each other), doubles and
// drops them, or is cut. Nodes pause (messages to them wait), crash (their state is lost), restart
// (same name, another incarnation, lower if the clock was set back) and leave. Membership is a
// stand-in for SWIM: each node detects the state of each other one by itself, after a while, and
// may be wrong, so that views differ. The shell is a model of registry's: it ticks when the core
// asked for it, flushes own changes as broadcasts that may be lost (a backlog reliably), relays
// updates to a few nodes, and posts the core's envelopes.
//
// A world depends on nothing but its [Setup] and its list of [Step]s, both drawn from a seed
// ([NewSetup], [Steps]): there is no goroutine, no clock and no map order in it. A step that can't
// be done does nothing, so any part of the list is a valid list; [Minimise] relies on that.
//
// In one world of twenty, names change all the time: each node holds some of its own, and at
// intervals releases the oldest and registers the next ([Churn]). The faults end, all nodes must
// catch up in spite of the churn, and stay so for ten seconds; only after the last check does the
// churn end, for the rest below.
//
// A step [Calm], and the end, ends all faults and waits until the world has come to rest: no queue,
// no message but summaries, no unfinished repair, and all summaries are equal. If that takes more
// than two simulated minutes, that is a violation. Then it checks; and in half of the worlds it
// releases names and registers them on other nodes.
//
// # Invariants
//
// At every step:
//
//   - WinnerIsResolved: a lookup finds the claim that the resolver (implemented a second time here)
//     picks among the visible ones; a claim is withdrawn only for one that the resolver prefers; no
//     disagreement is reported.
//   - EventsConsistent: the events, replayed, and the published winners give the lookup table.
//   - OwnAuthority: a node's claims change by its own calls and by losses only.
//   - LosersTold: a claim that vanished without a local call came with a loss, and one that loses
//     to a visible claim is given up at once.
//   - Authentic: a claim that is shown anywhere is exactly as its node wrote it.
//   - DownIsHidden: claims of a node that is seen down are not shown.
//   - NoHearsay: claims are hidden because of this node's own membership, never because of another
//     node's message.
//   - ShownWhenConfirmed: the claims of a node that came up are shown only after a node spoke for
//     it, and none that had ended by then; a replica speaks for the node only when it has come as
//     far.
//   - NeverAnew: a pull of an origin never begins before the last one.
//   - Monotone: timestamps of a node's claims grow, unless its clock was found ahead; if all clocks
//     are right, they are the time of the claim.
//   - RegisterIsHonest: a registration fails exactly if the node shows a claim on the name, and
//     returns that claim.
//   - ChunksBounded, TombstonesBounded: messages, tombstones and buffers stay within their limits.
//   - MayRest: a Tick before the moment that Next returns does nothing.
//   - NoPanic.
//
// While names change all the time, and the faults are over:
//
//   - CatchesUp: every node catches up with every other.
//   - RecordsBounded: no node is sent more records of an origin, in chunks, than that has claims
//     and makes changes.
//   - AllRegistered, NoZombie: claims and ends that are five seconds old are known everywhere.
//
// At rest:
//
//   - AllRegistered: every claim that stands is known everywhere, in its latest form.
//   - ThereCanBeOnlyOne: one node holds a name, and all nodes show that one.
//   - NoZombie: no lookup returns a holder that is gone at its own node.
//   - AllMessagesProcessed: the world comes to rest, and no buffer holds an update.
//   - WinnerIsResolved: the best of the claims that stood when calm began survives, if none was
//     released.
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
// under the race detector; it prints the number of seeds. A seed that fails is minimised and
// printed: setup, steps, messages, and the violation. The same seed fails alike, until the core or
// this package changes.
//
// TestPlantedBugs compiles the core with some forty bugs in it, by an overlay that changes lines of
// its source, switches one on at a time, and requires that each is caught. It fails if a line to be
// changed is no longer there. TestFlapping lets the links of 16 nodes flap for a simulated minute
// and bounds queues, messages per flap and the time until all nodes agree. TestSynRace is the race
// of syn's model, written by hand; TestSlowAnswers and TestTwoRunsApart are for bugs that seeds
// have found but rarely do.
package sim
