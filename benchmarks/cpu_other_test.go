//go:build !unix

package benchmarks

import "time"

// processorTime returns false: it is not implemented for this system.
func processorTime() (used time.Duration, ok bool) { return 0, false }
