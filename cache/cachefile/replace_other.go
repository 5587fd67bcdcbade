//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package cachefile

import (
	"os"
	"runtime"
)

// closeFirst tells that an open file can't be renamed or removed.
const closeFirst = true

func lock(*os.File) bool { return true }

// removeUnlocked removes the file unless it is open: Windows refuses that. On other systems it
// can't tell, and does nothing.
func removeUnlocked(name string) {
	if runtime.GOOS == "windows" {
		_ = os.Remove(name)
	}
}

// syncFolder does nothing: Windows has no such call.
func syncFolder(string) error { return nil }
