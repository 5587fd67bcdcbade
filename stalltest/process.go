package stalltest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// variable makes a process run a case; its value is an assignment.
	variable = "SNOWFENCE_STALLTEST"
	// processLimit ends a process whose case does not end, in addition to the time that callers
	// may hang. A case takes some 20 seconds at most.
	processLimit = 5 * time.Minute
	// brokenCode is the exit code of a process that could not run the case.
	brokenCode = 3
)

// An assignment is the input of a process.
type assignment struct {
	Test    string        `json:"test,omitempty"` // whose Run runs the case; "": Main does
	Subject string        `json:"subject"`
	Case    string        `json:"case"`
	Callers int           `json:"callers"`
	Timeout time.Duration `json:"timeout_ns"`
	Folder  string        `json:"folder"` // for what the process writes
}

// The files of a process. It writes the first one before it first calls the subject's load, so that
// it did not end because of the subject if that is missing.
const (
	begunFile  = "begun"
	resultFile = "result"
)

// assigned returns the assignment of this process, or nil if it has none.
func assigned() (*assignment, error) {
	text := os.Getenv(variable)
	if text == "" {
		return nil, nil //nolint:nilnil // most processes have none
	}
	var a assignment
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return nil, fmt.Errorf("stalltest: %s: %w", variable, err)
	}
	return &a, nil
}

// serve runs the case of the assignment with the subject, and ends the process.
func (a *assignment) serve(s Subject) {
	err := a.observe(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(brokenCode)
	}
	os.Exit(0) // with the callers that hang
}

func (a *assignment) observe(s Subject) error {
	c := find(a.Case)
	if c == nil {
		return fmt.Errorf("stalltest: there is no case %q", a.Case)
	}
	r, err := observe(s, c, config{callers: a.Callers, timeout: a.Timeout},
		func() error { return a.write(begunFile, nil) })
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return a.write(resultFile, text)
}

func (a *assignment) write(name string, text []byte) error {
	return os.WriteFile(filepath.Join(a.Folder, name), text, 0o600)
}

// start runs the case of the assignment in a process of this program with these arguments. It
// blocks until the process has ended, or ctx has.
func (a *assignment) start(ctx context.Context, args []string) (r Result, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	if a.Folder, err = os.MkdirTemp("", "stalltest"); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(a.Folder)) }()
	text, err := json.Marshal(a) // with the folder
	if err != nil {
		return r, err
	}
	timed, cancel := context.WithTimeout(ctx, a.Timeout+processLimit)
	defer cancel()
	var output bytes.Buffer
	c := exec.CommandContext(timed, self, args...) //nolint:gosec // this program
	c.Env = append(os.Environ(), variable+"="+string(text))
	c.Stdout, c.Stderr = &output, &output
	ended := c.Run()
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	return a.fate(ended, timed.Err() != nil, output.String())
}

// fate returns the result of a process that ended with that error of os/exec, after its time-out or
// before.
func (a *assignment) fate(ended error, timeUp bool, output string) (r Result, err error) {
	text, err := os.ReadFile(filepath.Join(a.Folder, resultFile)) //nolint:gosec // our own
	if err == nil {
		if err := json.Unmarshal(text, &r); err != nil {
			return r, err
		}
		if ended != nil && r.Verdict != Fail { // as the race detector ends it
			r.Verdict, r.Why, r.Message = Fail, "the process ended with: "+ended.Error(), firstLine(output)
		}
		return r, nil
	}
	var exit *exec.ExitError
	_, begun := os.Stat(filepath.Join(a.Folder, begunFile))
	r = Result{Subject: a.Subject, Case: a.Case, Verdict: Fail, Message: firstLine(output)}
	switch {
	case begun != nil || !errors.As(ended, &exit):
		return r, fmt.Errorf("stalltest: %s, %s: the case did not begin (%w): %s",
			a.Subject, a.Case, cmpErr(ended), strings.TrimSpace(output))
	case exit.ExitCode() == brokenCode:
		return r, fmt.Errorf("stalltest: %s, %s: %s", a.Subject, a.Case, strings.TrimSpace(output))
	case timeUp:
		r.Seen, r.Why = silent, "the process does not answer"
	default:
		r.Seen, r.Why = dies, "the process ends"
	}
	return r, nil
}

var errExit = errors.New("it ended too early")

// cmpErr returns err, or errExit if it is nil.
func cmpErr(err error) error {
	if err == nil {
		return errExit
	}
	return err
}

// firstLine returns the first line that says something.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// Main runs the case for which Matrix has started this process, and ends it. In any other process
// it does nothing. The subjects are those that Matrix gets.
func Main(subjects ...Subject) {
	a, err := assigned()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(brokenCode)
	case a == nil || a.Test != "":
		return
	}
	at := slices.IndexFunc(subjects, func(s Subject) bool { return s.Name == a.Subject })
	if at < 0 {
		fmt.Fprintf(os.Stderr, "stalltest: there is no subject %q\n", a.Subject)
		os.Exit(brokenCode)
	}
	a.serve(subjects[at])
}

// Matrix runs all cases with all subjects, whose names differ, each in a process of its own: it
// starts this program without arguments, which must call Main with the same subjects before it does
// anything else. The results are in the order of Cases, those of a case in the order of subjects.
// Matrix blocks for minutes, or until ctx ends. It returns an error if a process could not run its
// case, or an option is not allowed (*OptionError); processes that end because of a subject are
// results.
func Matrix(ctx context.Context, subjects []Subject, opts ...Option) ([]Result, error) {
	cfg, err := configOf(opts)
	if err != nil {
		return nil, err
	}
	var all []assignment
	cases := cfg.cases()
	for i := range cases {
		for _, s := range subjects {
			all = append(all, cfg.assign("", s.Name, cases[i].Name))
		}
	}
	results := make([]Result, len(all))
	err = cfg.each(ctx, len(all), func(ctx context.Context, i int) (err error) {
		results[i], err = all[i].start(ctx, nil)
		return err
	})
	return results, err
}

func (c *config) assign(test, subject, name string) assignment {
	return assignment{
		Test: test, Subject: subject, Case: name, Callers: c.callers, Timeout: c.timeout,
	}
}

// each calls f for the numbers below n, for as many at a time as there may be processes, and
// returns the first error. The others end then.
func (c *config) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	turns := make(chan struct{}, c.processes)
	var running sync.WaitGroup
	for i := range n {
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		running.Go(func() {
			defer func() { <-turns }()
			if err := f(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}
