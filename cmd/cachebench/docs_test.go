package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/docscheck"
)

const docsRoot = "../.."

// checkDocs returns a problem for each of the commands that cachebench would refuse to read.
func checkDocs(commands []docscheck.Command) []docscheck.Problem {
	var problems []docscheck.Problem
	for _, c := range commands {
		if strings.TrimPrefix(c.Words[0], "bin/") != "cachebench" {
			continue
		}
		if err := parses(c.Words[1:]); err != nil {
			problems = append(problems, c.Problem("%s: %v", strings.Join(c.Words, " "), err))
		}
	}
	return problems
}

// parses reads a command line as cachebench does, and runs nothing.
func parses(args []string) error {
	root := newRoot(io.Discard, io.Discard)
	root.InitDefaultVersionFlag()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if cmd == root && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return fmt.Errorf("unknown command %q", rest[0])
	}
	cmd.InitDefaultHelpFlag()
	// Prose may name a flag without a value.
	err = cmd.ParseFlags(rest)
	if bare := new(pflag.ValueRequiredError); err != nil && !errors.As(err, &bare) {
		return err
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	for _, word := range rest {
		// A name in capitals is the reader's to fill in.
		if strings.HasPrefix(word, "testdata/") && strings.ToLower(word) == word {
			if _, err := os.Stat(filepath.Join(docsRoot, word)); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestCommandsOfPages(t *testing.T) {
	pages, err := docscheck.Load(docsRoot)
	require.NoError(t, err)
	var commands []docscheck.Command
	for _, p := range pages {
		commands = append(commands, p.Commands()...)
	}
	for _, p := range checkDocs(commands) {
		t.Error(p)
	}
}

func TestWrongCommandsOfPages(t *testing.T) {
	p := docscheck.Parse("docs/page.md", strings.ReplaceAll(`
Run ~cachebench faults --check~, ~cachebench fault~,
~cachebench run --no-such-flag~, ~bin/cachebench cluster --nodes many~
and ~cachebench faults all~.
~~~sh
bin/cachebench run --trace testdata/traces/small.arc # and so on
cachebench run --trace testdata/traces/none.arc >out/x
cachebench --version; cachebench run -h; cachebench help run
cachebench run --trace testdata/NAME
~~~
`, "~", "`"))
	var got []string
	for _, problem := range checkDocs(p.Commands()) {
		got = append(got, problem.String())
	}
	require.Len(t, got, 5, got)
	for i, want := range []string{
		`docs/page.md:2: cachebench fault: unknown command "fault"`,
		"docs/page.md:3: cachebench run --no-such-flag: unknown flag: --no-such-flag",
		"docs/page.md:3: bin/cachebench cluster --nodes many: invalid argument",
		`docs/page.md:4: cachebench faults all: unknown command "all"`,
		"docs/page.md:7: cachebench run --trace testdata/traces/none.arc: stat ",
	} {
		assert.Contains(t, got[i], want)
	}
}
