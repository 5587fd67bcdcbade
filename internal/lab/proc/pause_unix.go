//go:build unix

package proc

import "syscall"

// Pausable reports whether the system can halt a process.
const Pausable = true

// Pause halts the process with SIGSTOP.
func (p *Process) Pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
