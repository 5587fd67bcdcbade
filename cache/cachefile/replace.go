package cachefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A replacement is a new file that takes the place of path, or is removed. Until it is whole and
// on the disk it has another name in the same folder. While it is written its process has a lock
// on it, so that another process can tell it from what a killed one has left.
type replacement struct {
	*os.File
	path string
	kept bool
}

const temporary = ".tmp"

// replace makes the replacement of path. It removes those that killed processes have left.
func replace(path string) (*replacement, error) {
	removeAbandoned(path)
	const tries = 100
	for range tries {
		f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*"+temporary)
		if err != nil {
			return nil, err
		}
		if lock(f) && isNamed(f) {
			return &replacement{File: f, path: path}, nil
		}
		// Another process took it for abandoned before it was locked.
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	return nil, fmt.Errorf("cachefile: %s: other processes remove the new file", path)
}

// isNamed reports whether f still has its name.
func isNamed(f *os.File) bool {
	named, err := os.Lstat(f.Name())
	if err != nil {
		return false
	}
	open, err := f.Stat()
	return err == nil && os.SameFile(named, open)
}

// discard removes the new file unless it was kept.
func (r *replacement) discard() {
	if r.kept {
		return
	}
	if closeFirst {
		_ = r.Close()
	}
	_ = os.Remove(r.Name())
	_ = r.Close()
}

// keep puts the new file in the place of path, and returns once both are on the disk.
func (r *replacement) keep(trace func(step string)) error {
	if err := r.Sync(); err != nil {
		return err
	}
	trace("synced")
	if closeFirst {
		if err := r.Close(); err != nil {
			return err
		}
	}
	if err := os.Rename(r.Name(), r.path); err != nil {
		return err
	}
	r.kept = true
	trace("renamed")
	err := syncFolder(filepath.Dir(r.path))
	if !closeFirst {
		err = errors.Join(err, r.Close())
	}
	return err
}

// removeAbandoned removes the files that killed processes have left. Errors don't matter: the next
// call tries again.
func removeAbandoned(path string) {
	prefix := "." + filepath.Base(path) + "."
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	for _, name := range names {
		random, ok := strings.CutPrefix(name.Name(), prefix)
		if !ok {
			continue
		}
		random, ok = strings.CutSuffix(random, temporary)
		if !ok || random == "" || strings.Trim(random, "0123456789") != "" || !name.Type().IsRegular() {
			continue
		}
		removeUnlocked(filepath.Join(filepath.Dir(path), name.Name()))
	}
}
