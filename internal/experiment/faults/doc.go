// Package faults makes one load go wrong in every known way while many callers wait for it, with
// the courier's fix off and on, and records the outcome of each caller and its time. It is
// "cachebench faults"; read experiment.go first.
//
// A trial is one fault with the fix off or on. The first caller of a key starts its load; the load
// waits until all other callers have joined; then the fault strikes. The callers' times count from
// there, so they depend on the cache alone. Afterwards one more caller fetches the key, with a
// fetch function that works, to see whether the key works again.
//
// One fault is a different experiment: callers of a load that hangs keep coming, in waves, with the
// courier's default options. With the fix on, the first wave waits for its own deadline, as it
// must, and the others get a value. There a caller's time counts from its call.
//
// The checks rest on the outcomes, and not on times, which a busy machine can change. For the same
// reason callers' deadlines pass only while this process runs, and only flights that should end by
// their time-out have one.
//
// A third trial of each fault has the fix on and a stale value: callers get that instead of an
// error, and no later than the soft time-out. Their contexts have no deadline, since at a deadline
// they would get the stale value as well: callers without an answer after Params.Timeout are
// cancelled. The flight has no time-out that could pass before.
//
// Trials run one after the other, each with its own cache, and leave no goroutine.
package faults
