//go:build !unix

package proc

import "errors"

// Pausable reports whether the system can halt a process.
const Pausable = false

// Pause fails.
func (*Process) Pause() error { return errors.ErrUnsupported }

// Resume fails.
func (*Process) Resume() error { return errors.ErrUnsupported }
