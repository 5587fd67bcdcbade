package atomicfile

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Write makes the folder of path if it is missing, has fill write the content
// and then puts it in place at once. If anything fails, whatever was at path
// stays and the temporary file is removed. The error names path and wraps its
// cause. It blocks on the disk; two concurrent writers of one path leave one
// of the two contents, whole.
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
	// Runs on a panic of fill too, so that no litter stays.
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
	// CreateTemp makes files private; a report is for others to read.
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
