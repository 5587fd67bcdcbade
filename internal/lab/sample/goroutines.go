package sample

import (
	"runtime"
	"time"
)

// GoroutinesLeft returns the number of goroutines above before, once they had time to end: a second
// at most.
func GoroutinesLeft(before int) int {
	const looks, look = 1000, time.Millisecond
	for range looks {
		if runtime.NumGoroutine() <= before {
			return 0
		}
		time.Sleep(look) // lets them run, however busy the machine
	}
	return max(0, goroutines()-before)
}

// goroutines returns the exact number of goroutines. runtime.NumGoroutine may count one that has
// just ended.
func goroutines() int {
	for room := 2 * runtime.NumGoroutine(); ; room *= 2 {
		if n, ok := runtime.GoroutineProfile(make([]runtime.StackRecord, room)); ok {
			return n
		}
	}
}
