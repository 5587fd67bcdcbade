//go:build !unix

package cluster

import "os"

var stopSignal, continueSignal os.Signal // nil: Validate refuses Pause
