package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// cellVariable makes a process run a cell; its value is an assignment.
	cellVariable = "SNOWFENCE_FAULTS_CELL"
	// cellFailed is the exit code of a cell's process that could not run the trial. It is not 2,
	// which is that of a panic.
	cellFailed = 3
	// cellExtra is the time that a cell's process may take in addition to the time that its callers
	// may hang.
	cellExtra = 12 * time.Second
	// cellsAtOnce is the number of processes that run at a time. They mostly wait.
	cellsAtOnce = 16
)

// totalTime returns the time-out of all cells together.
func totalTime(cfg config) time.Duration { return cfg.Timeout + 2*cellExtra }

// errTooLong means that the machine is too busy.
var errTooLong = errors.New("the cells took too long all together")

// An assignment is the input of a cell's process.
type assignment struct {
	config

	Fault   string `json:"fault"`
	Library string `json:"library"`
}

// A cell holds the observation of a library with a fault.
type cell struct {
	Fault   string      `json:"fault"`
	Library string      `json:"library"`
	Brief   string      `json:"brief"`
	Seen    observation `json:"seen"`
}

// runAsCell does the work of a cell's process and ends it. In any other process
// it does nothing.
func runAsCell() {
	text := os.Getenv(cellVariable)
	if text == "" {
		return
	}
	if err := serve(text, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(cellFailed)
	}
	os.Exit(0) // with the callers that hang
}

// serve writes the observation that text, an assignment, asks for as one line.
func serve(text string, out io.Writer) error {
	var a assignment
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return fmt.Errorf("%s: %w", cellVariable, err)
	}
	f, isFault := find(faults, a.Fault)
	l, isLibrary := find(libraries, a.Library)
	if !isFault || !isLibrary {
		return fmt.Errorf("%s: there is no %q or no %q", cellVariable, a.Fault, a.Library)
	}
	seen, err := observe(l, f, a.config)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(seen)
}

// watch runs a cell in a process of its own. It blocks until that has ended, or was killed at its
// time-out or at the end of ctx.
func watch(ctx context.Context, f fault, l library, cfg config) (seen observation, err error) {
	self, err := os.Executable()
	if err != nil {
		return seen, err
	}
	text, err := json.Marshal(assignment{cfg, f.name, l.name})
	if err != nil {
		return seen, err
	}
	timed, cancel := context.WithTimeout(ctx, cfg.Timeout+cellExtra)
	defer cancel()
	var out, errOut bytes.Buffer
	c := exec.CommandContext(timed, self)
	c.Env = append(os.Environ(), cellVariable+"="+string(text))
	c.Stdout, c.Stderr = &out, &errOut
	ended := c.Run()
	if ctx.Err() != nil {
		return seen, ctx.Err()
	}
	switch process := fateOf(ended, timed.Err() != nil); process {
	case survives:
		err = json.Unmarshal(out.Bytes(), &seen)
	case broken:
		err = fmt.Errorf("%w: %s", ended, strings.TrimSpace(errOut.String()))
	default:
		seen.Process = process
		seen.Message, _, _ = strings.Cut(errOut.String(), "\n")
	}
	return seen, err
}

// fateOf returns the fate of a process that ended with that error of os/exec, after its time-out or
// before.
func fateOf(ended error, timeUp bool) fate {
	var exit *exec.ExitError
	switch {
	case ended == nil:
		return survives
	case timeUp:
		return silent
	case errors.As(ended, &exit) && exit.ExitCode() != cellFailed:
		return dies
	}
	return broken
}

// run runs all cells and returns the report. Cells with callers without a deadline can take the
// longest, so they come first.
func run(ctx context.Context, o *options) (*report, error) {
	r := &report{
		Date: time.Now().Format(time.DateOnly),
		Go:   runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Versions: versions(o.libraries), Callers: o.Callers,
		Cells:  make([]cell, len(o.faults)*len(o.libraries)),
		faults: o.faults, libraries: o.libraries,
	}
	ctx, cancel := context.WithTimeoutCause(ctx, totalTime(o.config), errTooLong)
	defer cancel()
	processes, unlessFailed := errgroup.WithContext(ctx)
	processes.SetLimit(cellsAtOnce)
	for _, patient := range []bool{true, false} {
		for i := range r.Cells {
			f, l := o.faults[i/len(o.libraries)], o.libraries[i%len(o.libraries)]
			if patient != (f.deadline == noDeadline) {
				continue
			}
			processes.Go(func() error {
				seen, err := watch(unlessFailed, f, l, o.config)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", f.name, l.name, err)
				}
				r.Cells[i] = cell{Fault: f.name, Library: l.name, Brief: seen.brief(f), Seen: seen}
				return nil
			})
		}
	}
	if err := processes.Wait(); ctx.Err() == nil {
		return r, err
	}
	return nil, context.Cause(ctx)
}

// versions returns the versions of the modules of the libraries, by path.
func versions(libraries []library) map[string]string {
	wanted := map[string]string{}
	for _, l := range libraries {
		for _, path := range l.modules {
			wanted[path] = "unknown"
		}
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return wanted
	}
	for _, m := range info.Deps {
		if _, ok := wanted[m.Path]; ok {
			wanted[m.Path] = m.Version
			if m.Replace != nil { // Snowfence, which is the folder above
				wanted[m.Path] = "of this source tree"
			}
		}
	}
	return wanted
}
