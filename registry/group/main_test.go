package group

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain checks that no goroutine is left. It waits longer than goleak would: a probe of memberlist's that
// was under way when its node closed lives on until its time is up.
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
