package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/progress"
)

// A UsageError is an error of the user: a wrong flag, argument or input file.
type UsageError struct{ Err error }

// Error returns the text of Err.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *UsageError) Unwrap() error { return e.Err }

// usage wraps an error in a UsageError.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &UsageError{err}
}

// Output holds the outputs of commands, and their format.
type Output struct {
	Stdout, Stderr io.Writer
	Quiet          bool // without progress
	JSON           bool // results as JSON
}

// progress returns the progress line on standard error, which is disabled if that is not a
// terminal.
func (o *Output) progress() *progress.Line {
	if f, ok := o.Stderr.(*os.File); ok {
		return progress.ForFile(f, o.Quiet)
	}
	return progress.New(o.Stderr, progress.Options{})
}

// A call is one invocation of an experiment.
type call[P, R any] struct {
	experiment *Experiment[P, R]
	out        *Output
	params     P
	set        *params.Set

	scenario  string
	dir       string
	check     bool
	debugAddr string
}

// Command returns the commands of an experiment: the visible one and, if it has child processes, a
// hidden one for these.
func Command[P, R any](e *Experiment[P, R], out *Output) []*cobra.Command {
	_, cmd := newCall(e, out)
	all := []*cobra.Command{cmd}
	if e.Child != nil {
		all = append(all, &cobra.Command{
			Use: childName(e.Name), Short: "A process of " + e.Name + ", told by its standard input",
			Hidden: true, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				// An interrupt goes to all processes of a terminal. This process must outlive it
				// until the parent has its results and closes the input, so the context is not
				// used.
				return e.Child(cmd.InOrStdin(), cmd.OutOrStdout())
			},
		})
	}
	return all
}

// newCall returns a call and its command.
func newCall[P, R any](e *Experiment[P, R], out *Output) (*call[P, R], *cobra.Command) {
	c := &call[P, R]{experiment: e, out: out, params: e.Defaults()}
	c.set = params.Of(&c.params)
	cmd := &cobra.Command{
		Use:     e.Name,
		Short:   e.Short,
		Long:    paragraphs(e.Long),
		Example: e.Example,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&c.scenario, "scenario", "",
		"read flags from this `file`")
	c.set.AddFlags(cmd)
	flags.BoolVar(&c.check, "check", false, "exit with 1 if a check does not hold")
	flags.StringVar(&c.dir, "out", "", "write a report into this `folder`")
	if e.Shows {
		flags.StringVar(&c.debugAddr, "debug-addr", "", "`host:port` of the debug page")
	}
	if err := errors.Join(cmd.MarkFlagFilename("scenario", "yaml", "yml", "json"),
		cmd.MarkFlagDirname("out")); err != nil {
		panic(err) // the flags were defined just now
	}
	addTopics(cmd, e.Topics, c.set)
	return c, cmd
}

// Parse returns the parameters that a command line gives, for programs other than the load tool.
func (e *Experiment[P, R]) Parse(args ...string) (*P, error) {
	c, cmd := newCall(e, &Output{})
	if err := cmd.ParseFlags(args); err != nil {
		return nil, err
	}
	return &c.params, c.plan()
}

func childName(experiment string) string { return experiment + "-child" }

func (c *call[P, R]) run(cmd *cobra.Command) error {
	e := c.experiment
	if err := c.plan(); err != nil {
		return usage(err)
	}
	if err := reportFolder(c.dir); err != nil {
		return err
	}
	line := c.out.progress()
	env := Env{Progress: line.Update}
	if c.debugAddr != "" {
		page, stop, err := serveDebug(cmd.Context(), c.debugAddr, c.out.Stderr)
		if err != nil {
			return usage(err)
		}
		defer stop()
		env.Debug = page
	}
	if e.Child != nil {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding the program for child processes: %w", err)
		}
		env.Child = []string{self, childName(e.Name)}
	}
	line.Start(e.Name)
	began := time.Now()
	result, failed := e.Run(cmd.Context(), &c.params, env)
	line.Done()
	if result == nil {
		return failed
	}
	return c.conclude(cmd, result, failed, time.Since(began))
}

// plan sets the parameters, and returns an error if they are invalid.
func (c *call[P, R]) plan() error {
	e := c.experiment
	if c.scenario != "" {
		if err := c.set.ReadFile(c.scenario, e.Name); err != nil {
			return err
		}
	}
	if c.scenario == "" && e.Base != nil {
		if err := c.set.ApplyFlags(); err != nil {
			return err
		}
		if err := e.Base(&c.params, c.set); err != nil {
			return err
		}
	}
	if err := c.set.ApplyFlags(); err != nil {
		return err
	}
	if e.Complete != nil {
		e.Complete(&c.params, c.set)
	}
	return c.set.Validate(c.check, func(k *params.Checker) {
		if e.Rules != nil {
			e.Rules(&c.params, k)
		}
	})
}

// conclude shows a result. It returns an error if failed is one, if the run was stopped, or if a
// check did not hold.
func (c *call[P, R]) conclude(
	cmd *cobra.Command, result *R, failed error, took time.Duration,
) error {
	page := c.experiment.Page(&c.params, result)
	checked := c.check || c.experiment.AlwaysChecked
	if !checked {
		page.Checks = nil
	}
	s := newShown(c.experiment.Name, commandLine(cmd), c.set, page, result)
	s.took = took
	errs := []error{s.show(c.out, c.dir)}
	switch {
	case failed != nil:
		errs = append(errs, failed)
	case page.Partial:
		errs = append(errs, errors.New("stopped before the end; the result is partial"))
	case c.check && len(page.Checks) == 0:
		errs = append(errs, errors.New("--check: nothing of this run can be checked"))
	default:
		errs = append(errs, failedChecks(page.Checks))
	}
	return errors.Join(errs...)
}

// Execute runs a command line of the root command, and returns the exit code: 0 for success, 1 if
// the run failed or a check did not hold, 2 if the command line or an input file was wrong.
func Execute(ctx context.Context, root *cobra.Command, args []string, stderr io.Writer) int {
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n", root.Name(), err)
	var wrong *UsageError
	if errors.As(err, &wrong) {
		fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return 2
	}
	return 1
}

// Root adds the commands of experiments to the root command, and sets up its flags, help and
// errors.
func Root(root *cobra.Command, out *Output, topics []Topic, commands ...[]*cobra.Command) {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SuggestionsMinimumDistance = 2 // letters
	root.Args = cobra.NoArgs
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.SetOut(out.Stdout)
	root.SetErr(out.Stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(flagError(err)) })
	root.PersistentFlags().BoolVarP(&out.Quiet, "quiet", "q", false, "no progress line")
	root.PersistentFlags().BoolVar(&out.JSON, "json", false, "print the result as JSON")
	for _, list := range commands {
		root.AddCommand(list...)
	}
	addTopics(root, topics, nil)
	cobra.AddTemplateFunc("topics", topicsOf)
	root.SetUsageTemplate(usageTemplate)
	addDefaultCommands(root)
}

// addDefaultCommands adds cobra's own commands. By default they show the help and succeed if an
// argument is wrong; here, wrong arguments of any command are usage errors.
func addDefaultCommands(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		case "help":
			cmd.Args = func(_ *cobra.Command, args []string) error { return noHelp(root, args) }
			cmd.ValidArgsFunction = completeHelp
		}
		for _, sub := range cmd.Commands() {
			sub.Args = usageArgs(sub.Args)
		}
		cmd.Args = usageArgs(cmd.Args)
	}
	root.Args = usageArgs(func(cmd *cobra.Command, args []string) error {
		err := cobra.NoArgs(cmd, args)
		if err == nil {
			return nil
		}
		return fmt.Errorf("%w%s", err, didYouMean(cmd, args[0]))
	})
}

// noHelp returns an error if there is no help for the words, and names the help that is there.
func noHelp(root *cobra.Command, words []string) error {
	known, unknown, err := root.Find(words)
	if err == nil && len(unknown) == 0 {
		return nil
	}
	if known == nil || known == root {
		return fmt.Errorf("no help for %q%s", words[0], didYouMean(root, words[0]))
	}
	var topics []string
	for _, c := range known.Commands() {
		topics = append(topics, c.Name())
	}
	if topics == nil {
		return fmt.Errorf("no help for %q, which has no topics", joined(words))
	}
	return fmt.Errorf("no help for %q; the topics of %s are %s", joined(words), known.Name(),
		strings.Join(topics, ", "))
}

// didYouMean returns a remark about commands with a similar name, empty if there is none.
func didYouMean(root *cobra.Command, word string) string {
	similar := root.SuggestionsFor(word)
	if len(similar) == 0 {
		return ""
	}
	return " (did you mean " + strings.Join(similar, " or ") + "?)"
}

// completeHelp completes commands and topics.
func completeHelp(cmd *cobra.Command, args []string, _ string) (
	[]cobra.Completion, cobra.ShellCompDirective,
) {
	var words []cobra.Completion
	if at, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
		for _, c := range at.Commands() {
			if !c.Hidden {
				words = append(words, cobra.CompletionWithDesc(c.Name(), c.Short))
			}
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// usageArgs returns a check of arguments whose errors are usage errors.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		check = cobra.NoArgs
	}
	return func(cmd *cobra.Command, args []string) error { return usage(check(cmd, args)) }
}

// flagError returns an error about a flag in the format of those about fields.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	flag := invalid.GetFlag()
	reason := errors.Unwrap(invalid)
	if flag.Value.Type() == "bool" {
		reason = fmt.Errorf("must be true or false, got %q", invalid.GetValue())
	}
	return &params.FieldError{Field: "--" + flag.Name, Reason: reason.Error()}
}
