package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the run failed or a check did not hold
	exitUsage  = 2 // a wrong flag, argument or input file
)

// A usageError is the user's to mend: it ends in exitUsage.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage wraps an error about flags, arguments or input files.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

// output is what every command has: its streams and the flags that say how to
// use them.
type output struct {
	stdout io.Writer
	stderr io.Writer
	quiet  bool
	json   bool
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "cachebench: %v\n", err)
	var wrong *usageError
	if errors.As(err, &wrong) {
		fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	out := &output{stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "cachebench",
		Short: "Load, faults and snowballs for the Snowfence cache and its registry",
		Long: `Cachebench runs load against the Snowfence cache and shows what a slow, stuck or
crashing fetch does to its callers, with the courier's fix off and on: the link
that notifies all callers of a fetch at once, however it ends. It also runs
clusters of the name registry, and of the cache that is built on it, disturbs
them, and shows how they recover; and it measures what a cache leaves behind in
memory.

Exit codes: 0, all was well; 1, the run failed or a check did not hold; 2, the
command line or an input file was wrong.`,
		Example: `  cachebench snowball --fault panic --stale --check --out out/snowball
  cachebench run --keys zipf:1.01 --duration 10s
  cachebench run --trace testdata/traces/small.arc
  cachebench faults
  cachebench registry --disturb split --check --out out/registry
  cachebench cluster --ownership all --disturb kill --out out/cluster
  cachebench memory --check --out out/memory`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(flagError(err)) })
	root.PersistentFlags().BoolVarP(&out.quiet, "quiet", "q", false, "no progress line")
	root.PersistentFlags().BoolVar(&out.json, "json", false, "print the result as JSON")
	root.AddCommand(newRun(out), newFaults(out), newSnowball(out), newRegistry(out), newNode(),
		newCluster(out), newClusterNode(),
		newMemory(out), newMemoryCell())
	addDefaultCommands(root)
	return root
}

// addDefaultCommands adds cobra's own commands, which by themselves take a wrong argument for a
// wish for help and succeed, and makes a complaint about any command's arguments a usage error.
func addDefaultCommands(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		case "help":
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				if _, unknown, err := root.Find(args); err != nil || len(unknown) > 0 {
					return fmt.Errorf("unknown command %q for %q", strings.Join(args, " "), cmd.CommandPath())
				}
				return nil
			}
		}
		for _, sub := range cmd.Commands() {
			sub.Args = usageArgs(sub.Args)
		}
		cmd.Args = usageArgs(cmd.Args)
	}
	root.Args = usageArgs(root.Args)
}

// flagWants says what the flag library's own kinds of values are.
var flagWants = map[string]string{
	"bool": "true or false",
	"int":  "a whole number", "uint64": "a whole number from 0 on", "float64": "a number",
	"duration":    "a duration such as 500ms or 10s",
	"intSlice":    "whole numbers with commas between them",
	"stringSlice": "words with commas between them",
}

// flagError says what a flag's value must be, where the flag library has words for programmers.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	flag := invalid.GetFlag()
	if want, ok := flagWants[flag.Value.Type()]; ok {
		return fmt.Errorf("--%s: must be %s, got %q", flag.Name, want, invalid.GetValue())
	}
	return fmt.Errorf("--%s %q: %w", flag.Name, invalid.GetValue(), errors.Unwrap(invalid))
}

// usageArgs makes a complaint about arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		check = cobra.NoArgs
	}
	return func(cmd *cobra.Command, args []string) error { return usage(check(cmd, args)) }
}
