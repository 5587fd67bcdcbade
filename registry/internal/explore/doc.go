// Package explore searches small clusters of the replica core for a state in which something is wrong. It visits every state
// that a [World] can get into, in the order of how many actions it takes, so what it reports is the shortest
// way to a violation.
//
// # What may happen
//
// A world is two or three nodes and one name or two. What is next is any of: a node registers, updates or releases a name; it
// hands out its changes; a message under way arrives, whichever; it arrives and stays under way (a duplicate); it
// is lost; links are cut, or whole again; a node's membership catches up with how another node is (up, down, left, up in a new run),
// each node for itself; it takes a node for down that is not; a node crashes, starts again with a
// higher incarnation or a lower one, or leaves; time passes for one node. The kinds that could go on for ever have a budget,
// see [Budget]; the others are free.
//
// # What is checked
//
// After every step of a node: own claims change by a local call or a loss that is told, and by nothing
// else (OwnAuthority, LosersTold); who withdraws does so for a better claim of another node, and a lookup gives the best
// visible claim by an order that is written down here once more (WinnerIsResolved); what is published is what a lookup gives; the
// events lead from what was shown to what is (EventsReplay); nothing of a node that is down is shown (DownIsHidden);
// only membership hides a node's claims, and no message takes a claim out of sight that its node still holds
// (NoHearsay); a watermark does not fall within an incarnation, nor an incarnation (WatermarkRises); updates handed out
// have no gap (FlushIsComplete); Register is refused if and only if the name is visibly taken (RegisterIsHonest); no
// Disagreement is reported, as the resolvers are sound (NoFalseAlarm); no panic.
//
// Then states are brought to rest: all links whole, everybody hears of everybody, messages arrive in order, time passes
// until nothing but equal summaries is sent. That must happen within 64 ticks (AllMessagesProcessed). At rest
// each name has one holder at most (ThereCanBeOnlyOne), whose claim all show in its latest form (AllRegistered), and nobody
// shows another (NoZombie). The best claim that stood when calm began still stands, unless a better one that was released
// might have been underway (WinnerIsResolved). A released name can be taken on another node (Retakable).
//
// Rest is judged from every state in which nothing is under way and everybody is up to date, and from one in sixteen of
// the others. That is enough: calm gets from any state to one of the former by actions that the search takes anyway.
//
// # What is abstracted away
//
//   - Time. A tick outlasts every interval of the protocol, so a deadline is over or not; how often it was doubled does not matter.
//     (What depends on lengths, such as the patience with a gap, is tested in package replica and simulated in package sim.)
//   - Random choices. Each step starts from one seed; a tick from each of [World].Seeds, so that a world of three can ask this node or that.
//   - Clocks. Each registration has a wall-clock moment of its own, the same on all nodes, or (Ties) all share one. Skew is simulated in package sim.
//   - Equal messages from one node to another that are under way at a time are one.
//   - Where [World].Flying bounds the messages under way, a full network delivers or loses something before anything else happens.
//   - A message sent over a cut link is lost; one that was under way when the link was cut may still arrive.
//   - Tombstones of the name are kept for ever, or (Snapshot) not at all, which makes every pull a snapshot of one record per chunk.
//   - States are compared by 64 bits of hash. That two of ten million are mistaken for each other has a probability of 3 in a million.
//
// # How
//
// A node's next state follows from its state and its input alone ([replica.Partition.AppendState],
// [replica.Partition.Reseed]). So each pair is worked out once, with all checks of a step, and remembered by number. There are a few
// thousand states of nodes; the state of the world is their numbers, the numbers of the messages under way, who sees
// whom, and what is left of the budget: some 60 bytes. On two cores some 500,000 transitions are looked up per second.
//
// # What was seen
//
// The worlds of each test run, all of them seen to the end:
//
//	world                        states      transitions  depth  judged
//	two: calm                    60,117      178,798      19     4,271
//	two: split                   382,022     1,326,649    25     24,734
//	two: split, oldest wins      386,694     1,343,583    25     25,063
//	two: split, ties             262,904     881,891      25     17,141
//	two: split, time passes      160,000     360,990      27     10,819
//	two: lossy                   362,707     1,446,872    21     23,263
//	two: suspicion               67,239      213,444      18     5,881
//	two: crash                   370,084     834,462      26     24,349
//	two: crash, clock set back   430,701     966,428      29     28,721
//	two: leave                   22,689      100,786      16     1,586
//	two: forgetful               200,985     470,736      26     13,183
//	two: snapshot                44,019      161,092      18     3,210
//	two: snapshot of two names   90,237      229,542      18     7,555
//	three: calm                  6,043       16,872       15     556
//	three: lossy                 41,146      103,139      19     3,504
//	three: gossip                194,551     756,552      20     12,591
//	three: snapshot              414,829     1,038,601    23     32,540
//	three: suspicion             325,585     714,618      23     24,653
//	three: split                 412,091     899,183      30     27,592
//	three: one link cut          52,786      112,699      24     3,898
//	three: crash                 147,730     333,759      23     9,380
//	three: crash, clock set back 228,751     524,271      25     14,243
//	syn's race, six worlds       879,404     3,307,104    29     55,546
//	together                     5,543,314   16,322,071   30     374,279
//
// With -explore.deep the tests search worlds of up to twelve million states each. TestPlantedBugsAreCaught changes a line of the
// core and wants the worlds to notice, for nine lines.
package explore
