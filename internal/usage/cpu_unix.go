//go:build unix

package usage

import (
	"syscall"
	"time"
)

// CPU returns what this process has had of the processors, 0 if the system does
// not say.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
