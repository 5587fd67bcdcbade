// Package leak checks that tests which use memberlist leave no goroutine.
package leak

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests, checks that no goroutine is left, and exits.
func Main(m *testing.M) { os.Exit(Run(m, 5*time.Second)) }

// Run runs the tests, checks that no goroutine is left, and returns the exit code. It waits up to
// patience for goroutines to end, longer than goleak would by default: when a node closes, a probe
// of memberlist that is under way lives until its time-out.
func Run(m *testing.M, patience time.Duration) (code int) {
	if code = m.Run(); code != 0 {
		return code
	}
	const step = 50 * time.Millisecond
	var err error
	for range patience / step {
		if err = goleak.Find(); err == nil {
			return 0
		}
		time.Sleep(step)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
