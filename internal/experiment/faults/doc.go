// Package faults lets one load go wrong in every known way while many callers
// wait for it, with the courier's fix off and on, and notes what each caller got
// and when. It is "cachebench faults"; read experiment.go first.
//
// A trial is one fault with the fix off or on. The first caller of a key starts
// its load; the load waits until all other callers have joined; then the fault
// strikes. The time until a caller knew counts from there, so it is the cache's
// doing alone. Afterwards one more caller comes with a loader that works: does
// the key work again?
//
// One fault is another experiment: callers of a load that hangs keep coming, in
// waves, with the courier's default options. With the fix on the first wave waits
// for its own deadline, as it must, and the others get a value. There a caller's
// time counts from its call.
//
// The verdict rests on what callers got, and not on how long that took: on a busy
// machine that is anything. So the callers' deadlines pass only while this process
// gets to run, and only flights that are to end by their time-out have one.
//
// A third trial of each fault has the fix on and a stale value there: callers get
// that instead of an error, and no later than the soft time-out. Their own contexts
// have no deadline then, since at a deadline they would get the stale value as
// well: one that is not answered by Params.Timeout is cancelled. The flight has no
// time-out that could pass before.
//
// Trials run one after the other, each with a cache of its own, and leave no
// goroutine behind.
package faults
