package store

import (
	"os"
	"testing"
	"time"

	"github.com/snowfence/snowfence/internal/leak"
)

// The client library has timers that run on for some seconds.
func TestMain(m *testing.M) { os.Exit(leak.Run(m, 10*time.Second)) }
