// Package explore searches small clusters of the replica core for a state that violates an
// invariant. It visits every state that a [World] can reach, those with the fewest actions first,
// so that it reports the shortest way to a violation. To read the code, open world.go and
// worlds.go, then search.go.
//
// # What may happen
//
// A world is two or three nodes and one or two names. The next action is any of these: a node
// registers, updates or releases a name; it hands out its changes; any message under way arrives;
// it arrives and stays under way (a duplicate); it is lost; links are cut, or mended; a node's
// membership catches up with the state of another node (up, down, left, up in a new run), each node
// for itself; it takes a node for down that is not; a node crashes, starts again with a higher or a
// lower incarnation, or leaves; time passes for one node. The kinds that could repeat for ever have
// a budget, see [Budget]; the others are free.
//
// # What is checked
//
// After every step of a node: own claims change only by a local call or by a loss that is reported
// (OwnAuthority, LosersTold); a claim is withdrawn only for a better one of another node, and a
// lookup returns the best visible claim by an order that is implemented here a second time
// (WinnerIsResolved); the published winner is that of a lookup; the events lead from the old
// winners to the new ones (EventsReplay); no claim of a node that is down is shown (DownIsHidden);
// only membership hides a node's claims, and no message hides a claim that its node still holds
// (NoHearsay); a watermark does not fall within an incarnation, nor does an incarnation
// (WatermarkRises); updates handed out have no gap (FlushIsComplete); Register is refused if and
// only if a claim on the name is visible (RegisterIsHonest); no Disagreement is reported, as the
// resolvers are sound (NoFalseAlarm); no panic.
//
// Then states are brought to rest: all links are mended, each node's membership is correct,
// messages arrive in order, time passes until only equal summaries are sent. That must happen
// within 64 ticks (AllMessagesProcessed). At rest each name has at most one holder
// (ThereCanBeOnlyOne), whose claim all nodes show in its latest form (AllRegistered), and no node
// shows another (NoZombie). The best claim that stood when calm began still stands, unless a better
// one that was released might have been under way (WinnerIsResolved). A released name can be taken
// on another node (Retakable).
//
// In a world of churn, all nodes must catch up before calm, while node 0 releases and registers a
// name after each generation of messages, and no update gets through (CatchesUp).
//
// Rest is judged from every state in which nothing is under way and all memberships are correct,
// and from one in sixteen of the others. That is enough: calm gets from any state to one of the
// former by actions that the search takes anyway.
//
// # What is abstracted away
//
//   - Time. A tick outlasts every interval of the protocol, so a deadline is over or not; how often
//     it was doubled does not matter. (What depends on lengths, such as the patience with a gap, is
//     tested in package replica and simulated in package sim.)
//   - Random choices. Each step starts from one seed; a tick from each of [World].Seeds, so that a
//     world of three can ask this node or that.
//   - Clocks. Each registration has a wall-clock moment of its own, the same on all nodes, or
//     (Ties) all share one. Skew is simulated in package sim.
//   - Equal messages from one node to another that are under way at the same time are one.
//   - If [World].Flying bounds the messages under way, a full network delivers or loses one before
//     anything else happens.
//   - A message sent over a cut link is lost; one that was under way when the link was cut may
//     still arrive.
//   - Tombstones are kept for ever, or (NoTombs) not at all, and then a chunk holds one record and
//     a check asks about one claim.
//   - States are compared by 64 bits of hash. Of ten million states, two have the same hash with a
//     probability of 3 in a million.
//
// # How
//
// A node's next state follows from its state and its input alone ([replica.Partition.AppendState],
// [replica.Partition.Reseed]). So each pair is computed once, with all checks of a step, and stored
// by number. There are a few thousand states of nodes; the state of the world is their numbers, the
// numbers of the messages under way, the memberships, and the rest of the budget: some 60 bytes. On
// two cores some 500,000 transitions are looked up per second.
//
// # Results
//
// The worlds of each test run, each searched to the end:
//
//	world                           states      transitions  depth  judged
//	two: calm                       60,117      178,798      19     4,271
//	two: split                      420,512     1,449,115    26     27,758
//	two: split, oldest wins         427,350     1,473,229    26     27,720
//	two: split, ties                285,898     953,065      26     18,868
//	two: split, time passes         172,410     386,914      28     11,849
//	two: lossy                      373,671     1,482,664    23     24,578
//	two: suspicion                  68,699      216,250      19     6,226
//	two: crash                      397,014     890,902      27     26,573
//	two: crash, clock set back      458,603     1,026,002    30     30,461
//	two: leave                      23,385      103,538      16     1,679
//	two: forgetful                  226,355     527,744      27     14,942
//	two: no tombstones              46,353      169,146      21     3,402
//	two: no tombstones of two names 95,849      243,150      20     8,214
//	two: churn                      96,017      198,788      22     7,046
//	three: calm                     6,043       16,872       15     556
//	three: lossy                    46,047      112,826      19     4,302
//	three: gossip                   194,551     756,552      20     12,591
//	three: no tombstones            463,274     1,151,279    24     37,586
//	three: suspicion                356,407     776,466      23     28,220
//	three: split                    427,526     930,347      30     28,946
//	three: one link cut             57,368      120,903      25     4,411
//	three: crash                    159,064     355,251      23     10,221
//	three: crash, clock set back    242,455     550,911      25     15,559
//	syn's race, six worlds          1,108,358   4,247,682    31     69,957
//	together                        6,213,326   18,318,394   31     425,936
//
// With -explore.deep the tests search worlds of up to twelve million states each.
// TestPlantedBugsAreCaught plants a dozen bugs in the core and requires that the worlds catch each.
package explore
