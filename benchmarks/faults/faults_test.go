package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/snowfence/snowfence/stalltest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

func TestMain(m *testing.M) {
	stalltest.Main(subjects(libraries)...) // the tests start themselves, as the command does
	goleak.VerifyTestMain(m)
}

// own are the libraries of this module, whose cells are tested.
func own() []library {
	return slices.DeleteFunc(slices.Clone(libraries), func(l library) bool {
		return !slices.Contains(l.modules, snowfence)
	})
}

// ownReport returns the cells of this module's libraries. Time is that of synctest. Cases that end
// the process are left out of the drop-in, which ends it on purpose.
func ownReport(t *testing.T) *report {
	t.Helper()
	o := &options{cases: stalltest.Cases(), libraries: own(), callers: 50}
	r := newReport(o, nil)
	for i := range o.cases {
		for j := range o.libraries {
			s, name := o.libraries[j].subject, o.cases[i].Name
			x := stalltest.Result{Subject: s.Name, Case: name, Verdict: stalltest.Fail, Seen: "dies"}
			if s.Name != "snowfence-do" || name != "panic" {
				synctest.Test(t, func(t *testing.T) {
					var err error
					x, err = stalltest.Observe(s, name)
					require.NoError(t, err)
				})
			}
			r.Results = append(r.Results, x)
		}
	}
	return r
}

// The rows of this module in the pages are what is seen now.
func TestPages(t *testing.T) {
	r := ownReport(t)
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		require.NoError(t, err)
		return string(text)
	}
	rows := func(text string) (all []string) {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "| Snowfence") {
				all = append(all, line)
			}
		}
		require.NotEmpty(t, all)
		return all
	}
	for _, line := range rows(r.table(r.short())) {
		assert.Contains(t, read("README.md"), line)
	}
	for _, line := range rows(r.markdown()) {
		assert.Contains(t, read("docs/migrating.md"), line)
	}
	hanging := slices.DeleteFunc(slices.Clone(r.cases), func(c stalltest.Case) bool {
		return c.Group != "The load hangs"
	})
	for _, line := range rows(r.table(hanging)) {
		assert.Contains(t, read("docs/failures.md"), line)
	}
}

// The cache and the courier pass every case that they have a call for.
func TestSnowfence(t *testing.T) {
	r := ownReport(t)
	passed := map[string]int{}
	for i := range r.Results {
		x := &r.Results[i]
		switch {
		case x.Subject == "snowfence-do": // it raises panics and Goexit in its callers
		case x.Verdict == stalltest.Fail:
			t.Error(x.String())
		case x.Verdict == stalltest.Pass:
			passed[x.Subject]++
		}
	}
	assert.Len(t, r.cases, passed["cache"])
	assert.Greater(t, passed["courier"], 20)
}

// Each adapter loads a key once, in a process of its own.
func TestAdapters(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it starts a process for each library")
	}
	results, err := stalltest.Matrix(t.Context(), subjects(libraries), stalltest.WithCases("none"))
	require.NoError(t, err)
	require.Len(t, results, len(libraries))
	for i := range results {
		assert.Equal(t, libraries[i].subject.Name+", none: pass: value", results[i].String())
	}
}

func TestCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seen.json")
	var out, lines bytes.Buffer
	args := []string{"-only", "panic,set,do,groupcache,cache", "-callers", "10"}
	require.NoError(t, command(t.Context(), append(args, "-markdown", "-json", path), &out, io.Discard))
	assert.Contains(t, out.String(), "| | panic |\n|---|---|\n| x/sync `Do` | dies |\n")
	assert.Contains(t, out.String(), "| Snowfence | error ✓ |\n")
	assert.Contains(t, out.String(), "| | Set |\n|---|---|\n| Snowfence | kept ✓ |\n", "no other has Set")
	assert.Contains(t, out.String(), "What 10 callers of one key get")

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(data, &r))
	require.Len(t, r.Results, 6)
	assert.Equal(t, 10, r.Callers)
	assert.Contains(t, r.Results[0].Message, "the load panics")
	assert.Equal(t, map[stalltest.Outcome]int{stalltest.Error: 10}, r.Results[2].Callers)

	require.NoError(t, command(t.Context(), args, &lines, io.Discard))
	assert.Contains(t, lines.String(), "\n  do             fail  dies (the process ends)\n")
	assert.Contains(t, lines.String(), "\n  groupcache     none  – (has no Set)\n")
}

func TestCommandFails(t *testing.T) {
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	err := command(stopped, []string{"-only", "panic,otter"}, io.Discard, io.Discard)
	require.ErrorIs(t, err, context.Canceled)
}

// The tables fit the pages. Cells have one outcome mostly, but here one of each row has two.
func TestWidth(t *testing.T) {
	o := &options{cases: stalltest.Cases(), libraries: libraries, callers: 50}
	r := newReport(o, nil)
	for i := range o.cases {
		for j := range o.libraries {
			seen, verdict := "stale", stalltest.Pass
			if (i+j)%7 == 0 && !slices.Contains(o.libraries[j].modules, snowfence) {
				seen, verdict = "1 killed, 49 zero †", stalltest.Fail
			}
			r.Results = append(r.Results, stalltest.Result{
				Subject: o.libraries[j].subject.Name, Case: o.cases[i].Name,
				Verdict: verdict, Seen: seen,
			})
		}
	}
	for line := range strings.Lines(r.markdown()) {
		assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSpace(line)), width, line)
	}
}

func TestVersions(t *testing.T) {
	for path, version := range versions(libraries) {
		assert.NotEqual(t, "unknown", version, path)
	}
}

func TestUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"WithCallers: 1":   {"-callers", "1"},
		"WithTimeout: 1ms": {"-timeout", "1ms"},
		"WithProcesses: 0": {"-processes", "0"},
		`-only: "olric"`:   {"-only", "panic,olric"},
		"-json: no/where":  {"-json", "no/where"},
		"is not a flag":    {"panic"},
		"not defined":      {"-no-such"},
	} {
		err := command(t.Context(), args, io.Discard, io.Discard)
		require.ErrorIs(t, err, cli.ErrUsage, want)
		require.ErrorContains(t, err, want)
	}
	var help bytes.Buffer
	require.ErrorIs(t, command(t.Context(), []string{"-h"}, io.Discard, &help), flag.ErrHelp)
	for _, c := range stalltest.Cases() {
		assert.Contains(t, help.String(), "\n  "+c.Name+" ")
	}
	for i := range libraries {
		assert.Contains(t, help.String(), "\n  "+libraries[i].subject.Name+" ")
	}
	o, err := parse([]string{"-only", "panic,goexit"}, io.Discard)
	require.NoError(t, err)
	assert.Len(t, o.cases, 2)
	assert.Len(t, o.libraries, len(libraries))
}
