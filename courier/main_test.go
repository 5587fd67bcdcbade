package courier_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// seed replays a run of the random tests, which log theirs.
var seed = flag.Uint64("courier.seed", 0, "seed of the random tests; 0 takes a new one")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
