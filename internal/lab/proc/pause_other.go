//go:build !unix

package proc

import "errors"

// Pausable reports whether the system can stop a process.
const Pausable = false

// Pause returns errors.ErrUnsupported.
func (*Process) Pause() error { return errors.ErrUnsupported }

// Resume returns errors.ErrUnsupported.
func (*Process) Resume() error { return errors.ErrUnsupported }
