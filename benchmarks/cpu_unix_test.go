//go:build unix

package benchmarks

import (
	"syscall"
	"time"
)

// processorTime returns the processor time of this process, including its garbage collector. Other
// work on the machine does not add to it.
func processorTime() (used time.Duration, ok bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
