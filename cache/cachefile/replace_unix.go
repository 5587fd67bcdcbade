//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package cachefile

import (
	"errors"
	"os"
	"syscall"
)

// closeFirst tells that an open file can't be renamed or removed.
const closeFirst = false

// lock locks f until it is closed, or its process has ended. It reports false if f is locked
// already. A file system without locks counts as if it were locked: nothing is removed there.
func lock(f *os.File) bool {
	err := flock(f)
	return err == nil || !errors.Is(err, syscall.EWOULDBLOCK)
}

func flock(f *os.File) error {
	for {
		//nolint:gosec // a descriptor fits
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// removeUnlocked removes the file unless a process has a lock on it.
func removeUnlocked(name string) {
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	if flock(f) == nil && isNamed(f) {
		_ = os.Remove(name)
	}
}

// syncFolder returns once the names in a folder are on the disk.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil // a file system that can't
	}
	return err
}
