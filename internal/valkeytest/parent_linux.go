package valkeytest

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the system kill the server if this process dies before it calls Close.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
