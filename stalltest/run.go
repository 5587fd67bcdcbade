package stalltest

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// Run tests the subject: it runs each case in a process of its own, and has a subtest for each,
// which fails if its verdict is Fail and is skipped if it is None. It returns the results in the
// order of Cases, for a table. It blocks for a minute or so.
//
// A process is this test binary, which is started to run the calling test alone, up to Run. So what
// the test does before Run is done in each process, and must not end the test. Run can be called in
// a subtest; with other subjects in the same test these need different names.
func Run(t *testing.T, s Subject, opts ...Option) []Result {
	t.Helper()
	cfg, err := configOf(opts)
	if err != nil {
		t.Fatal(err)
	}
	a, err := assigned()
	if err != nil {
		t.Fatal(err)
	}
	if a != nil { // this is one of the processes
		if a.Test == t.Name() && a.Subject == s.Name {
			a.serve(s)
		}
		return nil
	}
	cases := cfg.cases()
	results := make([]Result, len(cases))
	args := []string{"-test.run=" + exactly(t.Name()), "-test.timeout=0"}
	err = cfg.each(t.Context(), len(cases), func(ctx context.Context, i int) (err error) {
		a := cfg.assign(t.Name(), s.Name, cases[i].Name)
		results[i], err = a.start(ctx, args)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range cases {
		t.Run(cases[i].Name, func(t *testing.T) { report(t, &cases[i], &results[i]) })
	}
	return results
}

// report is the subtest of a case.
func report(t *testing.T, c *Case, r *Result) {
	t.Helper()
	switch r.Verdict {
	case None:
		t.Skip(r)
	case Fail:
		text := fmt.Sprintf("%s\n%s; %s.\nWanted: %s.", r, c.Group, c.What, c.Want)
		if r.Message != "" {
			text += "\nThe process wrote: " + r.Message
		}
		t.Error(text)
	default:
		t.Log(r)
	}
}

// exactly returns a pattern for -test.run that matches one test or subtest.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// Observe runs one case with the subject in this process and returns the result. It blocks for
// some seconds, and returns while callers and loads that never end still run. If the subject lets
// a load's panic end the process, it does. Time is that of the package time: in a bubble of
// testing/synctest, Observe takes none of the machine's. It returns an error if the case could not
// begin, or an option is not allowed (*OptionError).
func Observe(s Subject, name string, opts ...Option) (Result, error) {
	cfg, err := configOf(opts)
	if err != nil {
		return Result{}, err
	}
	c := find(name)
	if c == nil {
		return Result{}, &OptionError{"the name of a case", name, "that of one of Cases"}
	}
	return observe(s, c, cfg, func() error { return nil })
}
