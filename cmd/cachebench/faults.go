package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/faultmatrix"
)

// faultsFlags are the flags of "cachebench faults".
type faultsFlags struct {
	callers      int
	timeout      time.Duration
	fetchTimeout time.Duration
	softTimeout  time.Duration
	check        bool
	dir          string
}

func newFaults(out *output) *cobra.Command {
	f := &faultsFlags{}
	cmd := &cobra.Command{
		Use:   "faults",
		Short: "Show what every fault does to its callers, with the fix off and on",
		Long: `Faults lets one load go wrong in every known way while many callers wait for it,
with the courier's fix off and on, and with the fix on and a stale value there, and
prints what they were told and when.

How to read it. In each trial the first caller of a key starts its load, the
load waits until all others have joined, and then the fault strikes. The first
table says what the callers saw, and how long after the fault struck they knew,
at the median and at most:

  value          the value
  error, panic, goexit, deadlock
                 an error that says what became of the load
  time-out       the flight's time was up (--fetch-timeout): the load was stuck
  own deadline   nobody told the caller anything; its own deadline passed
                 (--timeout, from when the fault struck). In a service this
                 caller held a worker all along.
  cancelled      the caller itself had left
  stale          the last good value, whose TTL is over

The second table is of callers who can have a stale value (cache.Options.StaleFor).
They get that instead of an error, and of a load that hangs or is slow they wait for
the soft time-out at most (--soft-timeout). Fresh after is how long after the next
caller one got a fresh value: stale ones are given at once for as long as the soft
time-out after a load has failed (StaleRetry), or while it is known to be late.

The last table is what came after: one more caller, whose fetch function
works. If that one sees "own deadline" too, the key is dead for good. Loads is
how many fetch functions were called in all.

One row is another experiment. In "hang, callers keep coming" the courier has its
options as they come. The first load hangs, and later ones would work. The callers
come in five waves, each when the one before knows, while one more caller, who is
not counted, waits all along. Their time counts from their own calls.

With the fix on, no cell may be "own deadline": each is a value or an error that
the fault itself brought (hang and slow: the flight's time-out). Where callers
keep coming the first wave alone may, since until a deadline has passed nothing
tells a load that hangs from one that works. With a stale value there no caller may
get an error, but the one that left; these callers have no deadline, and whoever is
not answered within --timeout is "cancelled". --check exits with 1 and names each
cell that is not so. Times are shown and not judged: they are the machine's, too.
A deadline passes only while this process gets to run, so that a busy machine is
not taken for a fault.`,
		Example: `  cachebench faults
  cachebench faults --callers 1000 --timeout 2s --fetch-timeout 1s
  cachebench faults --check --json
  cachebench faults --out out/faults`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, out) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.callers, "callers", 50, "let `n` callers wait for the load")
	flags.DurationVar(&f.timeout, "timeout", 200*time.Millisecond, "a caller's own deadline")
	flags.DurationVar(&f.fetchTimeout, "fetch-timeout", 100*time.Millisecond,
		"the flight's time-out, below --timeout; with the fix off there is none")
	flags.DurationVar(&f.softTimeout, "soft-timeout", 0,
		"how long a caller waits who can have a stale value (default half of --fetch-timeout)")
	flags.BoolVar(&f.check, "check", false,
		"exit with 1 if a cell with the fix on is not what it must be: a value or an error, or the "+
			"stale value if one is there")
	flags.StringVar(&f.dir, "out", "", "write report.html and result.json into this `folder`")
	completeOut(cmd)
	return cmd
}

// mostCallers keeps a typing error from filling the memory with goroutines.
const mostCallers = 100_000

// validate returns what is wrong with the flags, and sets the soft time-out unless it was given.
func (f *faultsFlags) validate(softGiven bool) error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(f.callers >= 2 && f.callers <= mostCallers, "--callers: must be from 2 to %d, got %d",
		mostCallers, f.callers)
	check(f.fetchTimeout > 0, "--fetch-timeout: must be above 0, got %v", f.fetchTimeout)
	if softGiven {
		check(f.softTimeout > 0, "--soft-timeout: must be above 0, got %v", f.softTimeout)
		check(f.timeout > f.softTimeout, "--timeout: must be above --soft-timeout (%v), got %v",
			f.softTimeout, f.timeout)
	} else {
		f.softTimeout = max(1, f.fetchTimeout/2)
	}
	check(f.timeout > f.fetchTimeout, "--timeout: must be above --fetch-timeout (%v), got %v",
		f.fetchTimeout, f.timeout)
	check(f.timeout < courier.DefaultTimeout,
		"--timeout: must be below %v, after which the courier ends a flight by itself, got %v",
		courier.DefaultTimeout, f.timeout)
	return errors.Join(errs...)
}

func (f *faultsFlags) run(cmd *cobra.Command, out *output) error {
	if err := f.validate(cmd.Flags().Changed("soft-timeout")); err != nil {
		return usage(err)
	}
	if err := reportFolder(f.dir); err != nil {
		return err
	}
	line := out.progress()
	line.Start("faults")
	matrix, failed := faultmatrix.Run(cmd.Context(), faultmatrix.Config{
		Callers: f.callers, Timeout: f.timeout,
		FetchTimeout: f.fetchTimeout, SoftTimeout: f.softTimeout,
		Observe: func(done, all int, what string) { line.Update(float64(done)/float64(all), what) },
	})
	line.Done()
	if matrix == nil {
		return failed
	}
	done := newFaultsOutput(commandLine(cmd), matrix)
	switch {
	case failed != nil:
	case matrix.Interrupted:
		failed = errors.New("interrupted; the rows are those that were done")
	case f.check && len(done.Problems) > 0:
		failed = fmt.Errorf("%d checks did not hold; the first: %s", len(done.Problems), done.Problems[0])
	}
	return out.conclude(done, f.dir, failed, false, nil)
}
