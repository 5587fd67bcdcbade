// Package cli has what the commands of this module share: the exit codes, the checks of flags
// before minutes of work, processes that measure, and the files and tables that come out.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// ErrUsage marks errors of the command line. They lead to exit code 2.
var ErrUsage = errors.New("wrong usage")

// Main runs a command, whose context ends with an interrupt, and ends the process if it fails.
func Main(name string, command func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx)
	stop()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	if errors.Is(err, ErrUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}

// Parse parses the command line. It returns flag.ErrHelp as it is; all other errors match ErrUsage.
func Parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return flag.ErrHelp
		}
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return nil
}

// NoArguments returns an error if f has arguments that are no flags. hint, which may be empty, says
// how such things are given.
func NoArguments(f *flag.FlagSet, hint string) error {
	if f.NArg() == 0 {
		return nil
	}
	return fmt.Errorf("%w: %q is not a flag%s", ErrUsage, f.Arg(0), hint)
}

// Wrong returns the error of a flag with a wrong value.
func Wrong(name string, value any, want string) error {
	return fmt.Errorf("%w: -%s: %v: want %s", ErrUsage, name, value, want)
}

// CheckFile returns an error if a file of that path could not be written. An empty path is none.
func CheckFile(name, path string) error {
	if path == "" {
		return nil
	}
	if folder, err := os.Stat(filepath.Dir(path)); err != nil || !folder.IsDir() {
		return Wrong(name, path, "a file in a folder that is there")
	}
	return nil
}

// MakeFolder makes the folder of a flag if it is not there. An empty path is none.
func MakeFolder(name, path string) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // pictures are no secret
		return Wrong(name, path, "a folder: "+err.Error())
	}
	return nil
}

// Stopped returns the error of a run that was stopped before its end, after its results were shown.
func Stopped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("stopped before the end, what was measured is shown: %w", err)
}
