//go:build !windows

package mesh

import "syscall"

// Listening on a port that is in use fails with errInUse.
const errInUse = syscall.EADDRINUSE
