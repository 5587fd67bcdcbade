// Package deletes is the log of the deletes of a cache that a cluster shares: which there are, and which were applied
// where. It has no network and no goroutines: who uses it carries what After, Message and Vector return to other
// nodes.
//
// # The model
//
// Each instance of the cache is a run, with a random number. It numbers its own deletes 1, 2, 3 and so on, so [ID]
// names a delete, or a clear, which is a delete of all keys. To apply one is to drop what a node has for the key and
// to forget the loads under way ([Options].Apply). A [Log] keeps the deletes of all runs, and for each run how far
// they have been applied here: all up to a number, and some beyond. That is the [Vector]. Nodes exchange messages
// ([Log.Message], [Log.Merge]) with their Vectors and the entries that the other one lacks. A request for a value
// carries the IDs of the deletes of its key ([Log.After]), and whoever answers applies them first ([Log.Require]).
//
// # The promise
//
//   - What was loaded before a node received a delete of the key is not served by that node afterwards.
//   - An answer to a node that knows a delete is not a value from before it, whatever the one that answers has
//     missed.
//   - Once nodes have exchanged messages until nothing is lacking, each has applied all deletes that any of them
//     knew.
//
// No clocks are compared. The first follows from what it is to apply a delete: it does not matter when a value was
// loaded, all that is there is dropped, and what was being loaded is not kept. For the second, a delete is shown by
// After before it is applied, and by Vector only when it has been. So a node that has applied a delete, or has begun
// to, tells it with each request, and Require returns when all that was told has been applied, by whichever
// goroutine. What is answered then was loaded after the delete, or has been got from elsewhere by a request that told
// it as well.
//
// The third needs more, since not all deletes are kept. At any time it holds for each delete that a node counts as
// applied that
//
//   - it is kept, or
//   - a later delete of the same key and run is kept, or
//   - a clear that was made later is kept: one of the same run, or one that this node made, or
//   - it is at most the floor of its run (below), or
//   - it is older than Retain.
//
// A message has all clears and floors that the other node lacks, before all else. So where a message has all that is
// kept of a run (a complete chapter), who has applied it has done enough for all that the sender has applied of that
// run, and takes over how far that was. That holds only for the run for which the message was made, since it leaves
// out what that one had already. Another one, as after a restart, applies what is in the message and takes over
// nothing.
//
// # Trimming
//
// The latest delete of each key and run is kept, and the latest clear of each run. A clear replaces all earlier
// entries of its run, and on the node that makes it those of all runs. Beyond that:
//
//   - By size: where there are more than Max, the oldest go, by arrival, a sixteenth of Max at a time. The run's
//     floor rises: who has not applied all up to it must reset, which is to drop all that it has. Single keys are not
//     known any more, so After has the floor for each key. That costs a healthy node nothing, since it is Max deletes
//     behind the latest.
//   - By time: what is older than Retain goes, without a floor. All values from before it have expired, on all nodes.
//     Ages go with the entries, as durations, so an entry ends everywhere at about the same time. A run of which
//     nothing is kept and nothing has been heard for Retain is idle: nobody is told of it and asked about it. After
//     twice Retain it is forgotten. A process that was suspended together with its clock may have values that lived
//     longer than that.
//   - Deletes beyond a gap: with more than 8,192 gaps in all runs, the node resets, and the floor of the run that has
//     most rises to the middle of them.
//   - Runs: when more than 1,024 have made deletes, this node makes a clear, which stands for all that it knows.
//     Those that make no more deletes are idle then. How far they were is still known, for 2,048 runs. Without Retain
//     that is the only end of a run.
//
// To apply something twice, or to reset without need, costs loads and breaks no promise. That is the way out wherever
// the books are lost.
//
// # Format
//
// Numbers are unsigned varints (at most 2^62 for deletes), if nothing is said; runs have 8 bytes, little-endian.
// After is
//
//	1                                   version, a byte
//	{ kind  run  number }               10 to 18 bytes each; kind: 1 a delete of the key, 2 a clear, 3 a floor
//
// and a message is
//
//	1                                   version, a byte
//	run of the sender
//	run that it is made for             0: whatever run
//	count, for each run of the vector   10 bytes or a few more
//	    run
//	    applied                         up to where all are
//	    2·spans + idle                  spans of those beyond; idle is 0 or 1
//	    { gap  length }                 first, less the last of the one before (or applied) and 2; last less first
//	count, for each chapter             12 bytes or a few more, and the entries
//	    run
//	    flags                           a byte; 1: there is a floor, 2: there is a clear, 4: complete
//	    age                             of the newest delete, in ms
//	    [ floor  age ]
//	    [ clear  age ]
//	    count, { step  age  length  key }   entries, as steps from the number before: 3 to 8 bytes and the key
//
// An exchange that has no news takes 19 bytes and the vector. Bounds are in this package's constants; a message that
// breaks one, or has anything that this package would write otherwise, is refused before anything is done. Who can
// send messages is trusted otherwise: it can delete what it likes.
package deletes
