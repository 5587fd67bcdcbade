//go:build unix

package main

import (
	"fmt"
	"os"
	"strings"
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
	// Rusage's Maxrss includes the process that has started this one, on Linux.
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return // only Linux has it
	}
	var kib uint64
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(peak, &kib); err == nil {
		u.RSS = 1024 * kib
	}
}
