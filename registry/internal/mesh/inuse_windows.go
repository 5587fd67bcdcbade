package mesh

import "syscall"

// errInUse is WSAEADDRINUSE. Listening on a port that is in use fails with it on Windows, where
// syscall.EADDRINUSE is a number of Go's own.
const errInUse = syscall.Errno(10048)
