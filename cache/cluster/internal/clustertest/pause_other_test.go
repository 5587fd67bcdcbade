//go:build !unix

package clustertest

import "os"

var stopSignal, continueSignal os.Signal // nil: nothing can be paused
