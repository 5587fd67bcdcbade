//go:build !windows

package mesh

import "syscall"

// errInUse is what listening on a port that is in use fails with.
const errInUse = syscall.EADDRINUSE
