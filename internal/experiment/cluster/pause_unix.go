//go:build unix

package cluster

import (
	"os"
	"syscall"
)

// stopSignal halts a process and continueSignal lets it go on. They are nil where the system
// has no such signals.
var stopSignal, continueSignal os.Signal = syscall.SIGSTOP, syscall.SIGCONT
