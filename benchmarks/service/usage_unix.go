//go:build unix

package main

import (
	"runtime"
	"syscall"
	"time"
)

// measureProcess notes what the system knows of this process.
func (u *usage) measureProcess() {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return
	}
	u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	u.RSS = uint64(r.Maxrss) //nolint:gosec // a size
	if runtime.GOOS != "darwin" && runtime.GOOS != "ios" {
		u.RSS *= 1024 // others count in KiB
	}
}
