//go:build unix

package benchmarks

import (
	"syscall"
	"time"
)

// processorTime returns the time that the processors have worked for this process, its garbage
// collector included. Other work on the machine does not add to it.
func processorTime() (used time.Duration, ok bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
