//go:build !unix

package valkeytest

import "errors"

// Pausable reports whether the system can stop a process.
const Pausable = false

// Pause returns errors.ErrUnsupported.
func (*Server) Pause() error { return errors.ErrUnsupported }

// Resume returns errors.ErrUnsupported.
func (*Server) Resume() error { return errors.ErrUnsupported }
