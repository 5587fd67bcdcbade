package stalltest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/stalltest"
)

// matrixSubjects are those of the tests of Matrix: TestMain must know them.
func matrixSubjects() []stalltest.Subject {
	named := func(name string, s stalltest.Subject) stalltest.Subject {
		s.Name = name
		return s
	}
	return []stalltest.Subject{
		cacheSubject(),
		named("no recover", planted("no recover")),
		{Name: "broken", New: func(stalltest.Setup) (stalltest.Cache, error) {
			return stalltest.Cache{}, errors.New("out of order")
		}},
		{Name: "exits", New: func(stalltest.Setup) (stalltest.Cache, error) {
			os.Exit(0)
			return stalltest.Cache{}, nil
		}},
	}
}

// Each case runs in a process of its own, since some faults end the process.
func TestMatrix(t *testing.T) {
	results, err := stalltest.Matrix(t.Context(), matrixSubjects()[:2],
		stalltest.WithCases("refresh-panic", "none", "panic"), stalltest.WithCallers(10))
	require.NoError(t, err)
	require.Len(t, results, 6)
	for i, want := range []string{
		"cache, none: pass: value", "no recover, none: pass: value",
		"cache, panic: pass: error", "no recover, panic: fail: dies (the process ends)",
		"cache, refresh-panic: pass: value",
		"no recover, refresh-panic: fail: dies (the process ends)",
	} {
		assert.Equal(t, want, results[i].String())
	}
	assert.Equal(t, map[stalltest.Outcome]int{stalltest.Error: 10}, results[2].Callers)
	assert.Equal(t, stalltest.Value, results[2].Next)
	assert.Equal(t, 2, results[2].Loads)
	assert.Contains(t, results[3].Message, "the load panics")
}

// A process that could not run its case is an error, not a result.
func TestMatrixFails(t *testing.T) {
	one := stalltest.WithCases("none")
	_, err := stalltest.Matrix(t.Context(), matrixSubjects()[2:3], one)
	require.ErrorContains(t, err, "broken, none: ")
	require.ErrorContains(t, err, "out of order")
	_, err = stalltest.Matrix(t.Context(), matrixSubjects()[3:], one)
	require.ErrorContains(t, err, "exits, none: the case did not begin (it ended too early)")
	_, err = stalltest.Matrix(t.Context(), []stalltest.Subject{{Name: "stranger"}}, one)
	require.ErrorContains(t, err, `there is no subject "stranger"`)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = stalltest.Matrix(stopped, matrixSubjects()[:1], one)
	require.ErrorIs(t, err, context.Canceled)
}

// plantedVariable makes TestRunOfBugs run, in the process that TestRunReports starts.
const plantedVariable = "SNOWFENCE_STALLTEST_PLANTED"

func TestRunOfBugs(t *testing.T) {
	if os.Getenv(plantedVariable) == "" {
		t.Skip("it fails on purpose; TestRunReports runs it")
	}
	for _, s := range []string{"a (b)", "c"} { // a name that is no regular expression
		t.Run(s, func(t *testing.T) {
			results := stalltest.Run(t, planted("zero values", "no recover"),
				stalltest.WithCases("goexit", "panic", "child", "none"))
			assert.Len(t, results, 4)
		})
	}
}

// A case is a subtest, which fails or is skipped.
func TestRunReports(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it starts nine processes")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	c := exec.CommandContext(t.Context(), self, "-test.run=^TestRunOfBugs$", "-test.v") //nolint:gosec // this test
	c.Env = append(os.Environ(), plantedVariable+"=1")
	out, err := c.CombinedOutput()
	require.Error(t, err, "it fails")
	for _, want := range []string{
		"--- FAIL: TestRunOfBugs/a_(b)/panic", "--- FAIL: TestRunOfBugs/c/goexit",
		"--- PASS: TestRunOfBugs/c/none", "--- SKIP: TestRunOfBugs/c/child",
		"planted, child: none: – (has no linked goroutines)",
		"planted, panic: fail: dies (the process ends)",
		"The load ends; the load panics; callers do not recover.",
		"Wanted: every caller gets an error at once, and the key works again.",
		"The process wrote: panic: the load panics",
		"planted, goexit: fail: zero (a caller got neither a value nor an error)",
	} {
		assert.Contains(t, string(out), want)
	}
}

// Snowfence passes on the machine's clock, too.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a load takes 30 s to end by its time-out")
	}
	for _, s := range []stalltest.Subject{cacheSubject(), courierSubject()} {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			stalltest.Run(t, s)
		})
	}
}
