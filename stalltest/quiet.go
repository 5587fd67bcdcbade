package stalltest

import (
	"bytes"
	"runtime"
	"time"
)

// quiet waits until no goroutine can run, so that all callers wait, and reports whether that came.
// The looks are counted, not timed: between two, all goroutines of a busy machine get to run.
//
// No subject needs to report its callers for that. The states of goroutines are in no typed form.
// They decide when a fault strikes and how long a caller is waited for, and no more.
func quiet() bool {
	const looks, wanted = 2000, 3
	calm := 0
	for range looks {
		calm++
		if canRun(stacks()) {
			calm = 0
		}
		if calm == wanted {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// stacks returns the stacks of all goroutines, this one's first.
func stacks() []byte {
	for size := 1 << 18; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= 1<<26 {
			return buf[:n]
		}
	}
}

// canRun reports whether a goroutine other than the first one runs or waits for a processor.
func canRun(text []byte) bool {
	first := true
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("goroutine ")) {
			continue
		}
		if !first && (bytes.Contains(line, []byte(" [running")) ||
			bytes.Contains(line, []byte(" [runnable"))) {
			return true
		}
		first = false
	}
	return false
}
