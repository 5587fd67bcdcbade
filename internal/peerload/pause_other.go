//go:build !unix

package peerload

import "os"

var stopSignal, continueSignal os.Signal // nil: Validate refuses Pause
