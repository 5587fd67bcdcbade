package evict

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// skipIfRace skips a test that takes long under the race detector, which finds nothing in it: it has
// one goroutine.
func skipIfRace(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("one goroutine, so the race detector finds nothing")
	}
}
