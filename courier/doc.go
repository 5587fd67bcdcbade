// Package courier runs one fetch per key on behalf of everyone who asks for
// it, and makes sure that all of them hear how it ended.
//
// # Flights
//
// The first [Courier.Do] for a key starts a flight; calls that come while it
// is under way join it, and all get the same outcome. So far this is
// golang.org/x/sync/singleflight. The differences are in what happens when
// something goes wrong.
//
// The fetch function runs in a goroutine of its own, under a context that
// carries the values of the first caller's context but not its cancellation.
// Each caller waits under its own context and leaves when that ends; the
// flight goes on for the others, and is cancelled when the last one has left.
// So an impatient first caller does not cancel the work for the patient ones
// (mailgun/groupcache#30), and nobody's work runs on for no one.
//
// # The link
//
// Whatever ends the fetch function ends the flight, and every waiter hears of
// it at once:
//
//	the function returns         its value and error
//	it panics                    *[PanicError], with the stack of the panic
//	it calls runtime.Goexit      [ErrGoexit] (golang/go#67087)
//	a linked child dies          the child's error, *PanicError or ErrGoexit
//	the flight's time is up      [ErrTimeout], which is a context.DeadlineExceeded
//	the courier is shut down     [ErrClosed]
//
// A fetch function that wants help from another goroutine starts it with [Go],
// not with a go statement. Such a child is linked: if it panics, calls Goexit
// or returns an error, the flight ends with that, even while the fetch
// function is stuck waiting for the child (whitfin/cachex#220). A goroutine
// started with a plain go statement can't be linked, and its panic ends the
// process: no library can recover a panic in a goroutine that it did not
// start.
//
// # Functions that never return
//
// Go can't stop a goroutine from outside. When a flight ends before its
// function does (its time is up, its last caller left, a child died), the
// function is abandoned: its context is cancelled, its late result is dropped,
// the key is free for a fresh flight, and the goroutine is counted in
// [Stats].Abandoned until it ends. So that the cure can't become a pile of
// goroutines itself, abandoned flights are bounded by key and in all
// ([WithMaxAbandoned]); past the bound a caller gets [ErrOverloaded] at once,
// but for one flight now and then that finds out whether the key works again.
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
// # Limits
//
// [WithMaxConcurrent] bounds the functions that run at one time,
// [WithQueueWait] how long a flight waits for its turn, [WithMaxWaiting] the
// callers who wait in all, and [WithBackoff] lets a failing key rest. A
// function that waits in a nested Do lends its turn to others meanwhile, so a
// limit of 1 can't deadlock nested fetches.
//
// # Where the ideas come from
//
// De-duplication is groupcache's singleflight; the courier and its link to the
// waiters are Cachex's (Elixir), where a worker process is monitored since
// version 4; linked children are Erlang links in the form of errgroup.
package courier
