// Package origin is a simulated backend: what a cache loads its values from.
//
// A load waits as long as a [workload.Latency] says, for a place among a limited
// number of concurrent loads if there is a limit, and returns a value whose size
// and content are settled by the key. [Origin.Check] tells whether a value
// belongs to a key, so a test notices when values are mixed up.
//
// # Faults
//
// A [Fault] makes some loads go wrong: of some keys, at some rate, within a
// window of time that counts from [Origin.Start]. Whether a load goes wrong is
// a function of the seed, the key and how often the key was loaded within the
// window before. So two runs with one seed meet the same faults, whatever the
// cache between does with them. The fault strikes once the load has waited its
// latency, in the goroutine that called Load:
//
//   - error: Load returns an error.
//   - panic: Load panics.
//   - goexit: Load ends its goroutine with runtime.Goexit.
//   - hang: Load does not return, whatever becomes of its context.
//   - child: Load starts a linked goroutine, which panics, and waits for an
//     answer from it that never comes.
//   - slow: Load takes longer, but heeds its context.
//
// [Origin.LoadMany] asks for several keys with one load.
//
// An origin that hangs would leak goroutines past the end of a test, so
// [Origin.Close] releases all that hang, and ends every other load at once.
//
// Time is read and waited for through package time only, so an origin that is
// made inside a testing/synctest bubble runs on its clock.
package origin
