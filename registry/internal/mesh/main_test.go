package mesh

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain checks that no goroutine is left. It waits longer than goleak would: memberlist's probe of a node that
// was closed first may still wait for its answer.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		var err error
		for range 50 {
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
