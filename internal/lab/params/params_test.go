package params_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab/params"
)

// group is shared by experiments.
type group struct {
	Start time.Duration `name:"start" min:"0s" help:"when it begins"`
	End   time.Duration `name:"end" help:"when it ends"`
}

type sample struct {
	Seed  uint64  `name:"seed" help:"settles all"`
	Rate  float64 `name:"rate" kind:"per-second" min:"0" max:"1000" help:"events per second" zero:"as many as can be"`
	Share float64 `name:"share" above:"0" below:"1" help:"a part"`
	Nodes int     `name:"nodes" min:"1" help:"how many" more:"x"`
	group
	Kind  string       `name:"kind" choices:"panic,hang,slow" help:"what goes wrong"`
	Kinds []string     `name:"kinds" choices:"a,b,c" help:"some"`
	Parts []int        `name:"parts" min:"1" max:"4096" help:"numbers"`
	Text  string       `name:"text" help:"any"`
	Trace string       "name:\"trace\" file:\"arc,csv\" help:\"read this `file`\""
	Loop  bool         `name:"loop" help:"again and again"`
	Most  params.Bytes `name:"most" kind:"size" help:"bytes"`

	internal int // no parameter
}

func defaults() sample {
	return sample{Seed: 1, Rate: 5, Share: 0.5, Nodes: 3, group: group{End: time.Minute}, Kind: "panic",
		Kinds: []string{"a"}, Parts: []int{16}, internal: 7}
}

// read reads a command line, and a file before it if there is text for one.
func read(t *testing.T, text string, args ...string) (sample, *params.Set, error) {
	t.Helper()
	p := defaults()
	set := params.Of(&p)
	cmd := &cobra.Command{Use: "x"}
	set.AddFlags(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		return p, set, err
	}
	if text != "" {
		if err := set.Parse("x.yaml", []byte(text), "sample"); err != nil {
			return p, set, err
		}
	}
	if err := set.ApplyFlags(); err != nil {
		return p, set, err
	}
	err := set.Validate(false, func(c *params.Checker) {
		c.Check(p.End > p.Start, "end", "must be after %s (%v), got %v", c.Call("start"), p.Start, p.End)
		c.Unused(p.Kind != "slow", "only slow has a rate", "rate")
	})
	return p, set, err
}

func TestFlagsOverrideTheFile(t *testing.T) {
	p, set, err := read(t, `
name: a sample
description: "it shows: all kinds"
experiment: sample
kind: slow
rate: 1e2
share: 0.25
parts: [1, 16]
kinds: b,c
text: 12
start: 1m30s
end: 2m
loop: true
most: 64MiB
`, "--rate", "7.5", "--end", "1h", "--loop=false")
	require.NoError(t, err)
	assert.Equal(t, sample{
		Seed: 1, Rate: 7.5, Share: 0.25, Nodes: 3, group: group{90 * time.Second, time.Hour}, Kind: "slow",
		Kinds: []string{"b", "c"}, Parts: []int{1, 16}, Text: "12", Most: 64 << 20, internal: 7,
	}, p)
	assert.Equal(t, "a sample", set.Name())
	assert.Equal(t, "it shows: all kinds", set.Description())
	assert.True(t, set.Given("rate"))
	assert.Equal(t, "--rate", set.Call("rate"), "by a flag")
	assert.True(t, set.Given("kind"))
	assert.Equal(t, "kind", set.Call("kind"), "by the file")
	assert.False(t, set.Given("seed"))

	// Its text gives the same again.
	again, _, err := read(t, set.Text("sample"))
	require.NoError(t, err)
	assert.Equal(t, p, again)

	text, err := json.Marshal(set)
	require.NoError(t, err)
	assert.JSONEq(t, `{"seed": 1, "rate": 7.5, "share": 0.25, "nodes": 3, "start": "1m30s", "end": "1h",
		"kind": "slow", "kinds": "b,c", "parts": "1,16", "text": "12", "trace": "", "loop": false,
		"most": "64MiB"}`, string(text))
	assert.True(t, strings.HasPrefix(string(text), `{"seed":1,"rate":7.5,`), "in order: %s", text)
}

// A field without a meaning stands neither in the text nor in the JSON, so that both are files
// that give the same run.
func TestUnusedFieldsAreLeftOut(t *testing.T) {
	p, set, err := read(t, "", "--nodes", "7")
	require.NoError(t, err)
	text, err := json.Marshal(set)
	require.NoError(t, err)
	for _, file := range []string{set.Text("sample"), string(text)} {
		assert.NotContains(t, file, "rate", "only slow has one")
		again, _, err := read(t, file)
		require.NoError(t, err)
		assert.Equal(t, p, again)
	}
}

// What is wrong is named with flag, or file and line, in one dialect.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		args string
		want []string
	}{
		{"", "--rate x", []string{`must be a number, got "x"`}},
		{"", "--rate NaN", []string{`must be a number, got "NaN"`}},
		{"", "--kind slow --rate 1001", []string{"--rate: must be from 0 to 1000, got 1001"}},
		{"", "--share 0", []string{"--share: must be above 0 and below 1, got 0"}},
		{"", "--nodes 0", []string{"--nodes: must be at least 1, got 0"}},
		{"", "--nodes 1.5", []string{`must be a whole number, got "1.5"`}},
		{"", "--seed -1", []string{`must be a whole number from 0 on, got "-1"`}},
		{"", "--start 5", []string{`must be a duration such as 250ms, got "5"`}},
		{"", "--start 2m", []string{"--end: must be after --start (2m0s), got 1m0s"}},
		{"", "--kind hnag", []string{`must be one of panic, hang, slow, got "hnag" (did you mean hang?)`}},
		{"", "--kinds a,d", []string{`must be one of a, b, c, got "d"`}},
		{"", "--parts 1,1", []string{"1 stands there twice"}},
		{"", "--parts 1,01", []string{"1 stands there twice"}},
		{"", "--parts 1,5000", []string{"--parts: must be from 1 to 4096, got 5000"}},
		{"", "--loop=maybe", []string{`must be true or false, got "maybe"`}},
		{"", "--most 12Q", []string{`must be a whole number of bytes such as 64MiB, got "12Q"`}},
		{"", "--rate 3", []string{"--rate: has no effect: only slow has a rate"}},
		{"start: 2m", "", []string{"--end: must be after start (2m0s), got 1m0s"}},
		{"seed: 1\nstart: 2m\nend: 1s", "", []string{"x.yaml:3: end: must be after start (2m0s), got 1s"}},
		{"start: 2m\nend: 3m", "--start 4m", []string{"x.yaml:2: end: must be after --start (4m0s), got 3m0s"}},
		{"rate: 3", "", []string{"x.yaml:1: rate: has no effect: only slow has a rate"}},
		{"rate: x\nnodes: 0\nrates: 1\n", "", []string{
			`x.yaml:1: rate: must be a number, got "x"`, "x.yaml:3: rates: unknown field (did you mean rate?)",
		}},
		{"experiment: other", "", []string{`x.yaml:1: experiment: is "other": this is no scenario of cachebench sample`}},
		{"seed: 1\nseed: 2", "", []string{"x.yaml:2: seed: stands there twice, first on line 1"}},
		{"seed:\n", "", []string{"x.yaml:1: seed: must be one value, got nothing"}},
		{"seed: [1]", "", []string{"x.yaml:1: seed: must be one value, got a list"}},
		{"name: [a]", "", []string{"x.yaml:1: name: must be one value, got a list"}},
		{"parts: [[1], 2]", "", []string{"x.yaml:1: parts: must be one value, got a list"}},
		{"seed: {a: 1}\n", "", []string{"x.yaml:1: seed: must be one value, got a mapping"}},
		{"[1, 2]", "", []string{"x.yaml:1: must be a mapping of names to values, got a list"}},
		{"seed: &a 1\nnodes: *a", "", []string{"x.yaml:1: seed: anchors and aliases are not allowed"}},
		{"seed: !!int 1", "", []string{"x.yaml:1: seed: tags such as !!int are not allowed"}},
		{"? [a]\n: 1", "", []string{"x.yaml:1: a name must be plain text, got a list"}},
		{"seed: 1\n---\nseed: 2", "", []string{"x.yaml:2: a second document; a file holds one scenario"}},
		{"seed: [1", "", []string{"x.yaml:1: is not YAML: "}},
		{"# nothing", "", []string{"x.yaml:1: is empty"}},
		{strings.Repeat("# long\n", params.MaxFileSize/7+1), "", []string{"x.yaml:1: must be at most 65536 bytes"}},
	} {
		_, _, err := read(t, c.text, strings.Fields(c.args)...)
		if !assert.Error(t, err, "%s %s", c.text, c.args) {
			continue
		}
		for _, want := range c.want {
			assert.Contains(t, err.Error(), want)
		}
	}
	_, _, err := read(t, "nodes: -3")
	var field *params.FieldError
	require.ErrorAs(t, err, &field)
	assert.Equal(t, params.FieldError{"x.yaml", 1, "nodes", "must be at least 1, got -3"}, *field)
}

func TestErrorsAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range 200 {
		text.WriteString(strings.Repeat("z", i+1) + ": 1\n")
	}
	_, _, err := read(t, text.String())
	assert.Equal(t, 50, strings.Count(err.Error(), "\n"))
	assert.Contains(t, err.Error(), "x.yaml:51: 150 more errors from here on")
}

// A value that a rule has given is not blamed on the user, and a built-in scenario is no file.
func TestDerivedAndForgotten(t *testing.T) {
	p := defaults()
	set := params.Of(&p)
	require.NoError(t, set.Parse("built-in.yaml", []byte("start: 2m\nend: 1m"), "sample"))
	set.Forget()
	assert.Empty(t, set.Name())
	check := func(c *params.Checker) { c.Check(false, "end", "must be after %s", c.Call("start")) }
	assert.EqualError(t, set.Validate(false, check), "--end: must be after --start")
	set.Derive("end")
	assert.EqualError(t, set.Validate(false, check), "--end (in proportion): must be after --start")
}

// Paths in a file start at its folder, and those of flags at the current one.
func TestPathsStartAtTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "some.yaml")
	require.NoError(t, os.WriteFile(path, []byte("trace: a.arc"), 0o600))
	p := defaults()
	set := params.Of(&p)
	require.NoError(t, set.ReadFile(path, "sample"))
	assert.Equal(t, filepath.Join(dir, "a.arc"), p.Trace)
	assert.Equal(t, "some", set.Name(), "that of the file, unless it says otherwise")

	err := set.ReadFile(filepath.Join(dir, "none.yaml"), "sample")
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorContains(t, err, "none.yaml")
}

func TestHelpAndCompletion(t *testing.T) {
	p := defaults()
	set := params.Of(&p)
	cmd := &cobra.Command{Use: "x", Run: func(*cobra.Command, []string) {}}
	cmd.Flags().SortFlags = false
	set.AddFlags(cmd)
	usage := cmd.Flags().FlagUsages()
	for _, line := range []string{
		"--rate per-second   events per second; 0: as many as can be (default 5)",
		"--trace file        read this file",
		"--parts n,...       numbers (default 16)",
		"--loop              again and again",
		"--end duration      when it ends (default 1m)",
	} {
		assert.Contains(t, usage, line)
	}
	assert.NotContains(t, usage, "--nodes", "it is for the long help")
	fields := set.Fields()
	assert.Equal(t, params.Field{Name: "nodes", Kind: "n", Default: "3", Help: "how many", More: true},
		fields[3])

	complete, found := cmd.GetFlagCompletionFunc("kind")
	require.True(t, found)
	words, _ := complete(cmd, nil, "")
	assert.Equal(t, []string{"panic", "hang", "slow"}, words)
}

// FuzzParse looks for text that is taken though it can't be written again, or that makes a panic.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"rate: 5\nkind: slow", "parts: [1, 2]", "a: &b [*b]", "? {}\n: 1", "seed: 18446744073709551615",
		"text: \"\\x00\"", "end: 1ns\n---\n", "most: 1GiB", "name: \"\u2028\"", "{\"rate\": 1}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := defaults()
		set := params.Of(&p)
		if err := set.Parse("x.yaml", []byte(text), "sample"); err != nil {
			var field *params.FieldError
			require.ErrorAs(t, err, &field)
			return
		}
		again := defaults()
		require.NoError(t, params.Of(&again).Parse("y.yaml", []byte(set.Text("sample")), "sample"),
			set.Text("sample"))
		require.Equal(t, p, again)
	})
}
