// Package stalltest tests what callers get when a load goes wrong: from a cache, or from anything
// else that loads a key once for many callers.
//
// Most caches are tested with loads that return. This suite has loads that panic, hang, call
// runtime.Goexit, or need themselves; callers that leave; keys that are deleted, set or refreshed
// meanwhile; batches of which one key hangs; callbacks that never return; and keys that can't be
// compared. A test of your own cache takes an adapter:
//
//	func TestStalls(t *testing.T) {
//		stalltest.Run(t, stalltest.Subject{New: func(s stalltest.Setup) (stalltest.Cache, error) {
//			c := mycache.New[string, string]()
//			return stalltest.Cache{Fetch: func(ctx context.Context, key string) (string, error) {
//				return c.Get(ctx, key, s.Load)
//			}}, nil
//		}})
//	}
//
// The other functions of [Cache], and the fields of [Subject], say what else the subject can do. A
// case that needs what it can't has the verdict [None], and is skipped. Subtests bear the names of
// the cases. [WithoutCases] accepts what is known.
//
// # A case
//
// [Cases] lists the cases, with what happens in each and what is wanted. In most of them one caller
// starts a load, 49 others join it, the fault strikes when all wait, and one more caller comes
// afterwards, for whom the load works. The callers have a deadline, and get one of these:
//
//	value, error   in time
//	stale          the value of before, which has expired
//	deadline       an error at the deadline: nothing was learned before
//	late           a value, past the deadline
//	cancelled      the end of another caller's context
//	wrong          the value of another key
//	zero           neither a value nor an error
//	panic, killed  the goroutine panics, or is ended
//	hang           the call does not return
//
// A [Result] has the number of callers for each, the verdict with its reason, and a few words for
// a table. It is data: Run returns all results, and [Matrix] those of many subjects, for programs
// that are no tests. `make fault-matrix` prints those of well-known libraries.
//
// # Processes and time
//
// Some faults end the process, so [Run] and [Matrix] run each case in a process of its own: the
// same program again. The process that runs a case ends with it, and so do the goroutines that
// hang.
//
// What counts as hanging does not depend on how busy the machine is. A fault strikes when no
// goroutine of the process has anything to do. A caller's deadline passes by an event, once the
// process had two seconds to run, so Deadline of its context reports none. A caller hangs if it
// has not returned when the process had three seconds more and has nothing left to do.
//
// [Observe] runs a case in this process: for a debugger, or for a bubble of testing/synctest,
// where it takes no time.
//
// # Reading the source
//
// Open burst.go first: it is the shape of most cases. The cases are in dying.go, hanging.go,
// leaving.go, nested.go, writing.go, batches.go, aging.go, notifying.go and keys.go; callers.go has
// what a caller gets, quiet.go when all wait, and process.go the processes.
package stalltest
