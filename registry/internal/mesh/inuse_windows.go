package mesh

import "syscall"

// errInUse is WSAEADDRINUSE, what listening on Windows fails with: syscall.EADDRINUSE is a number of Go's own there.
const errInUse = syscall.Errno(10048)
