package atomicfile

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Write creates the folder of path if necessary, calls fill to write the content, and then replaces
// path with it atomically. If anything fails, the file at path is unchanged and the temporary file
// is removed. The error names path and wraps its cause. After concurrent writes of one path it has
// one of the contents, whole.
func Write(path string, fill func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("can't make the folder for %s: %w", path, err)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("can't write %s: it is a folder", path)
	}
	tmp, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return fmt.Errorf("can't write %s: %w", path, err)
	}
	done := false
	// This also removes the temporary file if fill panics.
	defer func() {
		if !done {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	buf := bufio.NewWriter(tmp)
	if err := fill(buf); err != nil {
		return fmt.Errorf("can't write %s: %w", path, err)
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("can't write %s: %w", path, err)
	}
	// CreateTemp makes files private, but others may read a report.
	if err := tmp.Chmod(0o644); err != nil {
		return fmt.Errorf("can't write %s: %w", path, err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("can't write %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("can't write %s: %w", path, err)
	}
	done = true
	return nil
}
