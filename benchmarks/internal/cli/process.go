package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// measureCommand is the first argument of a process that measures, before the library and what is
// to be measured.
const measureCommand = "measure"

// InProcess starts this program anew, to measure a library, and reads its answer into result.
func InProcess(ctx context.Context, library string, what, result any) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	argument, err := json.Marshal(what)
	if err != nil {
		return err
	}
	//nolint:gosec // this program
	cmd := exec.CommandContext(ctx, program, measureCommand, library, string(argument))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w\n%s", err, errs.String())
	}
	return json.Unmarshal(out.Bytes(), result)
}

// Measures reports whether args are those of a process that InProcess has started.
func Measures(args []string) bool { return len(args) == 3 && args[0] == measureCommand }

// Answer does what a process is for that InProcess has started: it measures the library that args
// name, and writes the result.
func Answer[L, W, R any](
	args []string, out io.Writer, libraryOf func(name string) (L, bool), measure func(L, W) (R, error),
) error {
	l, ok := libraryOf(args[1])
	var what W
	if err := json.Unmarshal([]byte(args[2]), &what); err != nil || !ok {
		return fmt.Errorf("%w: %s: want a library, and what InProcess gives, not %q and %q", ErrUsage,
			measureCommand, args[1], args[2])
	}
	r, err := measure(l, what)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}
