// Package leak checks that the tests of a package over memberlist leave no goroutine.
package leak

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests, looks for goroutines that are left, and exits. It waits longer than goleak would: a probe of
// memberlist's that was under way when its node closed lives on until its time is up.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		var err error
		for range 100 {
			if err = goleak.Find(); err == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
