package courier_test

import (
	"flag"
	"runtime/pprof"
	"testing"

	"go.uber.org/goleak"
)

// seed replays a run of the random tests, which log theirs.
var seed = flag.Uint64("courier.seed", 0, "seed of the random tests; 0 takes a new one")

func TestMain(m *testing.M) {
	var options []goleak.Option
	if pprof.Lookup("goroutineleak") != nil { // in a process of TestLeakedFunction, which leaks one
		options = append(options,
			goleak.IgnoreTopFunction("github.com/snowfence/snowfence/courier_test.silentQuery"))
	}
	goleak.VerifyTestMain(m, options...)
}
