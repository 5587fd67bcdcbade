package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

type sumParams struct {
	Seed     uint64        `name:"seed" help:"settles nothing"`
	N        int           `name:"n" min:"0" help:"how many to add up"`
	Kind     string        `name:"kind" choices:"small,large" help:"how large they are"`
	Least    int           `name:"least" help:"what the sum must be at least"`
	Fails    string        `name:"fails" help:"with what the run fails" more:"x"`
	Duration time.Duration `name:"duration" help:"how long it takes"`
	lab.Window
}

type sum struct {
	Sum     int `json:"sum"`
	partial bool
}

// summing returns an experiment that adds numbers.
func summing() *lab.Experiment[sumParams, sum] {
	measures := []lab.Measure[*sum]{
		{Name: "the sum", Better: table.Higher, Meaning: "what comes out",
			Of: func(r *sum) table.Cell { return table.Count(int64(r.Sum)) }},
		{Name: "never there", Of: func(*sum) table.Cell { return table.Missing() }, Optional: true},
	}
	return &lab.Experiment[sumParams, sum]{
		Name: "sum", Short: "Add numbers up", Long: "Sum adds numbers up.", Example: "  lab sum",
		Topics: []lab.Topic{{"rows", "what the rows say", lab.Glossaries(lab.Glossary(measures))}},
		Defaults: func() sumParams {
			return sumParams{Seed: 1, N: 4, Kind: "small", Duration: 8 * time.Second,
				Window: lab.Window{Start: 2 * time.Second, End: 5 * time.Second}}
		},
		Base: func(p *sumParams, _ *params.Set) error {
			if p.Kind == "large" {
				p.N = 1000
			}
			return nil
		},
		Complete: func(p *sumParams, s *params.Set) {
			p.Scale(s, 8*time.Second, p.Duration, time.Second)
		},
		Rules: func(p *sumParams, c *params.Checker) {
			p.Check(c, p.Duration, 100*time.Millisecond)
			c.Check(!c.Held || p.Least > 0, "least", "must be above 0 with --check, got %d", p.Least)
		},
		Run: func(ctx context.Context, p *sumParams, e lab.Env) (*sum, error) {
			r := &sum{partial: ctx.Err() != nil}
			for i := range p.N {
				e.Progress(float64(i)/float64(p.N), "adding")
				r.Sum += i + 1
			}
			if p.Fails == "at once" {
				return nil, errors.New("it failed at once")
			}
			if p.Fails != "" {
				return r, errors.New(p.Fails)
			}
			return r, nil
		},
		Page: func(p *sumParams, r *sum) *lab.Page {
			t := table.New("Sums", "measure", "run")
			lab.Compare(t, []*sum{r}, measures)
			return &lab.Page{
				Title: "Sums", Story: "Numbers were added up.", Finding: "There is a sum.",
				Seed: &p.Seed, Partial: r.partial, Tables: []*table.Table{t},
				Charts: []*report.Chart{{Title: "Sum", Lines: []report.Line{{
					Series: series.Series{Name: "sum", Points: []series.Point{{T: 0, V: 1}, {T: 1, V: 3}}}}}}},
				Checks: []report.Check{{Name: "the sum is large", OK: r.Sum >= p.Least, Detail: "10"}},
			}
		},
	}
}

func run(t *testing.T, ctx context.Context, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	out := &lab.Output{Stdout: &o, Stderr: &e}
	root := &cobra.Command{Use: "lab", Version: "1"}
	lab.Root(root, out, []lab.Topic{{"words", "all words", "There are no words."}},
		lab.Command(summing(), out))
	code = lab.Execute(ctx, root, args, &e)
	return code, o.String(), e.String()
}

func TestText(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	code, stdout, stderr := run(t, t.Context(), "sum", "--check", "--least", "10", "--out", dir)
	require.Zero(t, code, stderr)
	assert.Empty(t, stderr)
	for _, part := range []string{
		"Sums\n", "the sum    10\n", "There is a sum.\n", "pass     the sum is large", "Took ", " Seed 1.\n",
		"\nWritten:\n  " + strings.Join([]string{
			filepath.Join(dir, "report.html"), filepath.Join(dir, "sum.svg"), filepath.Join(dir, "series.csv"),
			filepath.Join(dir, "tables.md"), filepath.Join(dir, "result.json"),
		}, "\n  ") + "\nTook ",
	} {
		assert.Contains(t, stdout, part)
	}
	assert.NotContains(t, stdout, "never there")
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	for _, part := range []string{"Numbers were added up.", "lab sum --check --least 10", "experiment: sum",
		"least: 10"} {
		assert.True(t, strings.Contains(string(page), part), part) //nolint:testifylint // would print it
	}
}

func TestJSON(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := run(t, t.Context(), "sum", "--n", "3", "--json", "--out", dir)
	require.Zero(t, code, stderr)
	file, err := os.ReadFile(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	assert.Equal(t, string(file), stdout)
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	assert.Equal(t, "lab sum --n 3 --json --out "+dir, got["command"])
	assert.Equal(t, "sum", got["experiment"])
	assert.Equal(t, map[string]any{"seed": 1., "n": 3., "kind": "small", "least": 0., "fails": "",
		"duration": "8s", "start": "2s", "end": "5s"}, got["params"])
	assert.Equal(t, map[string]any{"sum": 6.}, got["result"])
	assert.Equal(t, false, got["partial"])
	assert.Nil(t, got["checks"], "it was not held to them")
	assert.Len(t, got["files"], 5)
	assert.NotEmpty(t, got["environment"])
}

func TestExitCodes(t *testing.T) {
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx    context.Context
		args   string
		code   int
		stderr string
		shown  bool
	}{
		{t.Context(), "--least 11", 0, "", true},
		{t.Context(), "--least 11 --check", 1, "lab: 1 of 1 checks did not hold:\n  the sum is large: 10\n", true},
		{t.Context(), "--fails later", 1, "lab: later\n", true},
		{t.Context(), "--fails later --least 11 --check", 1, "lab: later\n", true},
		{t.Context(), "--fails at_once", 1, "lab: at_once", true},
		{stopped, "", 1, "lab: stopped before the end; the result is partial\n", true},
		{t.Context(), "--n -1", 2, "lab: --n: must be at least 0, got -1\nRun 'lab sum --help' for usage.\n", false},
		{t.Context(), "--check", 2, "lab: --least: must be above 0 with --check, got 0\n", false},
		{t.Context(), "--m", 2, "lab: unknown flag: --m\n", false},
		{t.Context(), "more", 2, `unknown command "more" for "lab sum"`, false},
		{t.Context(), "--check=maybe", 2, "lab: --check: must be true or false, got \"maybe\"\n", false},
		{t.Context(), "--out " + os.Args[0] + "/x", 2, "lab: --out: mkdir ", false},
		{t.Context(), "--scenario /no/such", 2, "lab: --scenario: open /no/such", false},
		{t.Context(), "--start 7s", 2, "lab: --end: must be at least 100ms after --start (7s), got 5s\n", false},
	} {
		code, stdout, stderr := run(t, c.ctx, append([]string{"sum"}, strings.Fields(c.args)...)...)
		assert.Equal(t, c.code, code, "%s: %s", c.args, stderr)
		assert.Contains(t, stderr, c.stderr, c.args)
		assert.Equal(t, c.shown, strings.Contains(stdout, "There is a sum."), "%s: %s", c.args, stdout)
	}
	code, stdout, stderr := run(t, t.Context(), "sum", "--fails", "at once")
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout, "there is no result")
	assert.Equal(t, "lab: it failed at once\n", stderr)
}

// A scenario sets the same parameters as flags. Its defaults are the general ones, and not those
// that a flag selects.
func TestScenario(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.yaml")
	require.NoError(t, os.WriteFile(path, []byte("experiment: sum\nkind: large\nleast: 3\n"), 0o600))
	for args, want := range map[string]string{
		"--kind large":                        `"n": 1000`,
		"--kind large --n 5":                  `"n": 5`,
		"--scenario " + path:                  `"n": 4`,
		"--scenario " + path + " --n 2":       `"n": 2`,
		"--duration 16s":                      `"start": "4s"`,
		"--duration 1s500ms":                  `"start": "1s"`,
		"--duration 16s --end 15s --start 2s": `"start": "2s"`,
	} {
		code, stdout, stderr := run(t, t.Context(), append([]string{"sum", "--json"}, strings.Fields(args)...)...)
		require.Zero(t, code, "%s: %s", args, stderr)
		assert.Contains(t, stdout, want, args)
	}
	_, _, stderr := run(t, t.Context(), "sum", "--scenario", path, "--duration", "1s200ms")
	assert.Empty(t, stderr)
	_, _, stderr = run(t, t.Context(), "sum", "--scenario", path, "--duration", "1s")
	assert.Contains(t, stderr, "--end (in proportion): must be at least 100ms after --start (in proportion) (1s), got 1s")
}

func TestHelp(t *testing.T) {
	for args, want := range map[string][]string{
		"--help":          {"Commands:\n", "  sum ", "More help:\n", "lab help words "},
		"sum --help":      {"Sum adds numbers up.", "--n n", "(default 4)", "--scenario file", "lab help sum rows ", "lab help sum flags "},
		"help sum":        {"Sum adds numbers up."},
		"help sum rows":   {"the sum\n    what comes out\n"},
		"help sum flags":  {"--fails", "--start duration  (2s)\n      when things begin"},
		"help words":      {"There are no words.\n"},
		"completion bash": {"bash completion"},
	} {
		code, stdout, stderr := run(t, t.Context(), strings.Fields(args)...)
		require.Zero(t, code, "%s: %s", args, stderr)
		for _, part := range want {
			assert.Contains(t, stdout, part, args)
		}
		for line := range strings.SplitSeq(stdout, "\n") {
			if !strings.HasPrefix(args, "completion") {
				assert.LessOrEqual(t, len([]rune(line)), 80, "%s: %s", args, line)
			}
		}
	}
	_, stdout, _ := run(t, t.Context(), "sum", "--help")
	assert.NotContains(t, stdout, "--fails", "it is in the long help")
	code, _, stderr := run(t, t.Context(), "help", "nosuch")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, `no help for "nosuch"`)
}

func TestWordsOfDisturbances(t *testing.T) {
	w := lab.Window{Start: 2 * time.Second, End: 5 * time.Second}
	a, b := []string{"a"}, []string{"a", "b"}
	assert.Equal(t, "From 2 s to 5 s a is cut off from the others",
		lab.Split.Course(w, lab.Whom(1, 3, a, a), 1))
	assert.Equal(t, "At 2 s a, b are killed", lab.Kill.Course(w, lab.Whom(2, 3, b), 2))
	for _, counted := range []string{lab.Whom(2, 3), lab.Whom(2, 3, nil), lab.Whom(2, 1, b),
		lab.Whom(2, 3, b, []string{"b", "c"})} {
		assert.Equal(t, "2 nodes", counted)
	}
	for _, d := range []lab.Disturbance{lab.Calm, lab.Kill, lab.Restart, lab.Pause, lab.Split,
		lab.Flap, lab.Skew, lab.Rolling, lab.OriginSlow, lab.OriginFail, lab.Poison} {
		assert.NotEmpty(t, d.Headline(), d)
		assert.NotRegexp(t, "[{}]", d.Course(w, "a", 1), d)
		c := &report.Chart{}
		d.Shade(c, w, "a")
		assert.Equal(t, d != lab.Calm, len(c.Marks)+len(c.Windows) == 1, d)
		for _, shaded := range c.Windows {
			assert.NotRegexp(t, "[{}]", shaded.Label, d)
		}
	}
}

func TestChecksOfRuns(t *testing.T) {
	of := func(ok bool) (c lab.Checks) {
		c.Add(ok, "it holds", "seen: %v", ok)
		return c
	}
	title := func(ok bool) string { return strings.ToUpper(strconv.FormatBool(ok)) }
	require.Equal(t, lab.Checks{{Name: "it holds", OK: true, Detail: "seen: true"}},
		lab.ChecksOfRuns([]bool{true}, 1, title, of))
	require.Equal(t, lab.Checks{
		{Name: "TRUE: it holds", OK: true, Detail: "seen: true"},
		{Name: "FALSE: it holds", Detail: "seen: false"},
		{Name: "every run took place", Detail: "1 did not"},
	}, lab.ChecksOfRuns([]bool{true, false}, 3, title, of))
}
