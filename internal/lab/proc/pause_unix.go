//go:build unix

package proc

import "syscall"

// Pausable reports whether the system can stop a process.
const Pausable = true

// Pause stops the process with SIGSTOP.
func (p *Process) Pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
