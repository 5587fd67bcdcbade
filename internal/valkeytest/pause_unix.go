//go:build unix

package valkeytest

import (
	"errors"
	"syscall"
)

// Pausable reports whether the system can stop a process.
const Pausable = true

var errNotRunning = errors.New("valkeytest: the server does not run")

// Pause stops the server as a process that hangs (SIGSTOP): it keeps its connections, and the
// system accepts new ones for it.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume continues a paused server.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return errNotRunning
	}
	return s.process.Signal(signal)
}
