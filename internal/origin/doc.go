// Package origin simulates an origin: the service or database from which a cache loads its values.
//
// A load waits for a free turn, if the number of concurrent loads is limited, and for a
// [workload.Latency]. It returns a value whose size and content the key determines. [Origin.Check]
// verifies that a value belongs to a key, so a test notices mixed-up values.
//
// # Faults
//
// A [Fault] strikes some loads: those of some keys, at some rate, within a window of time that
// counts from [Origin.Start]. Whether it strikes a load is a function of the seed, the key and the
// number of earlier loads of the key within the window. So two runs with one seed meet the same
// faults, whatever the cache does with them. It strikes after the latency of the load, in the
// goroutine that called Load:
//
//   - error: Load returns an error.
//   - panic: Load panics.
//   - goexit: Load ends its goroutine with runtime.Goexit.
//   - hang: Load does not return, even when its context ends.
//   - child: Load starts a linked goroutine, which panics, and waits for its
//     answer, which never comes.
//   - slow: Load takes longer, but returns when its context ends.
//
// [Origin.LoadMany] requests several keys with one load.
//
// Loads that hang would leak goroutines past the end of a test, so [Origin.Close] ends every load
// at once.
//
// It uses no clock but package time, so an origin that is made inside a testing/synctest bubble
// runs on the bubble's clock.
package origin
