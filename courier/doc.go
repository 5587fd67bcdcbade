// Package courier runs one fetch per key for all callers that ask for it, and
// gives each of them the outcome, however the fetch ends.
//
// # Flights
//
// The first [Courier.Do] for a key starts a flight; calls that come while it
// is under way join it, and all get the same outcome. So far this is
// golang.org/x/sync/singleflight. The differences show when something goes
// wrong.
//
// The fetch function runs in a goroutine of its own, under a context that
// carries the values of the first caller's context but not its cancellation.
// Each caller waits under its own context and leaves when that ends; the
// flight goes on for the others, and is cancelled when the last one has left.
// So an impatient first caller does not cancel the work for the patient ones
// (mailgun/groupcache#30), and no function runs on without a caller.
//
// # The link
//
// Whatever ends the fetch function ends the flight, and every waiter gets the
// outcome at once:
//
//	the function returns         its value and error
//	it panics                    *PanicError, with the stack of the panic
//	it calls runtime.Goexit      ErrGoexit (golang/go#67087)
//	a linked child dies          the child's error, *PanicError or ErrGoexit
//	the flight times out         *TimeoutError, which says where the function hangs
//	the courier is shut down     ErrClosed
//
// A fetch function that wants help from another goroutine starts it with [Go],
// not with a go statement. Such a child is linked: if it panics, calls Goexit
// or returns an error, the flight ends with that, even while the fetch
// function is stuck waiting for the child (whitfin/cachex#220). A goroutine
// started with a plain go statement can't be linked, and its panic ends the
// process: no library can recover a panic in a goroutine that it did not
// start.
//
// # Functions that hang
//
// A flight has a time-out: [DefaultTimeout], or that of [WithTimeout]. A hot key does
// not wait for it. A flight is late when it has let a caller down: one whose deadline
// passed while it waited. The next caller then starts a fresh flight in its place, and
// later callers join the fresh one. The late one goes on for its waiters. (A caller
// whose context is cancelled does not make the flight late.)
//
// So a hot key whose fetch hangs serves again after the first deadline, if the next fetch
// succeeds. An origin that is merely slower than its callers is not asked over and over:
// each fresh flight that comes late as well doubles the rest before the next one, from a
// second up to a minute, and a success that came in time for its callers ends the rest.
// (That holds while callers overlap. A flight whose last caller has left is over, and the
// next caller starts another.) A fetch that waits for a nested one hands its lateness on,
// and one that asks another process can do so too ([LateAge]).
//
// A caller that has something else to give, such as an older value, need not wait until
// its deadline: [ContextWithPatience] bounds its wait, and the flight goes on without it.
// A caller with patience that comes while the flight is late gets [ErrLate] at once. So a
// function that hangs costs one wait, and not one for each caller.
//
// Go can't stop a goroutine from outside. When a flight ends before its
// function does (it timed out, its last caller left, a child died), the
// function is abandoned: its context is cancelled, its late result is dropped,
// the key is free for a fresh flight, and the goroutine is counted in
// [Stats].Abandoned until it ends. So that abandoned functions can't pile up, they are
// bounded by key and in all ([WithMaxAbandoned]). Past a bound a caller gets an
// *[OverloadedError] at once, except for one flight now and then, which probes whether
// fetches work again.
//
// # Nested fetches and deadlock
//
// A fetch function may call Do again, of the same courier or of another, with
// the context it was given. If that call could only ever wait for itself (A
// fetches A; A fetches B, which fetches A; two flights that wait for each
// other) it gets a *[DeadlockError] that names the cycle, at once. The
// wait-for graph behind this (the classical one of database lock tables) holds
// nested calls only: an ordinary call does not touch it. A flight counts as
// waiting for whatever any of its goroutines waits for.
//
// # Many keys
//
// [Courier.DoMany] fetches many keys with one call of a function, such as one query
// for all of them. Each key is a flight, so that single and bulk callers join each
// other, and each key has an outcome of its own. The function is linked to all of
// them: its panic, Goexit, time-out or error is the outcome of each.
//
// # Limits
//
// [WithMaxConcurrent] bounds the functions that run at one time,
// [WithQueueWait] the time for which a flight waits for its turn, [WithMaxWaiting] the
// callers that wait in all, [WithMaxWaitingPerKey] those that wait for one flight,
// and [WithBackoff] lets a failing key rest. A function that waits in a nested Do
// lends its turn to others meanwhile, so a limit of 1 can't deadlock nested
// fetches. A Do without a waiting user yields to others: [ContextWithLowPriority].
//
// # Seeing what goes on
//
// The goroutines of a flight bear pprof labels: "courier" ([WithName]) and "flight", a number. When
// a flight times out, a goroutine profile shows by these where its function and its linked children
// hang: [TimeoutError]. [Courier.Flights] lists what is under way, [Courier.Timings] has histograms
// of how long flights took and callers waited, [Courier.Slowest] the slowest, and [WithTracer]
// makes a span for each. Package debug shows all that on a page. Keys may be personal data, so
// pages, logs and labels show a number in place of a key, unless [WithKeyText] is given.
//
// # Reading the source
//
// Open courier.go first: Do looks for the flight of its key, and joinOrStart joins it or
// starts one. From there flight.go is the life of a flight from top to bottom: its start,
// its callers, the loss of its key, its run, the ways in which it ends, and what follows.
// The other files hold one subject each, which that walk refers to:
//
//	shard.go, flights.go   the state, sharded by key
//	internal/guard         calling a function so that its end is noticed
//	guard.go, link.go      the errors that this means; linked children
//	context.go             what a function and a caller have in their contexts
//	wakeup.go              the channel that wakes the caller which has started a flight
//	deadlines.go           time-outs
//	late.go                when a fresh flight takes the place of a late one
//	stuck.go               the bounds on functions that run on
//	history.go             back-off
//	turns.go               WithMaxConcurrent
//	deadlock.go            the wait-for graph
//	many.go, batch.go      DoMany: the caller's part, and the function's
//	shutdown.go            Shutdown
//	label.go, timeout.go   pprof labels, and the error of a hang
//	inspect.go             the list of flights
//	timings.go, slow.go    durations, in the histograms of histogram.go
//	log.go, trace.go       WithLogger, WithTracer
//	async.go               a call that does not wait, for package singleflight
//
// # Where the ideas come from
//
// De-duplication is from groupcache's singleflight. The courier and its link to the
// waiters are from Cachex (Elixir), which monitors a worker process since version 4.
// Linked children are Erlang links in the form of errgroup.
package courier
