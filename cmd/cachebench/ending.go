package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/snowfence/snowfence/internal/atomicfile"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/table"
)

// An ending is what the text of a run with a report ends in.
type ending struct {
	finding string
	checks  []report.Check
	files   []string
	took    time.Duration
	seed    uint64
}

func (e ending) write(w io.Writer, style table.Style) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n", wrapped(e.finding, 100))
	if len(e.checks) > 0 {
		b.WriteByte('\n')
		if err := report.ChecksTable(e.checks).WriteText(&b, style); err != nil {
			return err
		}
	}
	if len(e.files) > 0 {
		fmt.Fprintf(&b, "\nWritten: %s\n", strings.Join(e.files, ", "))
	}
	fmt.Fprintf(&b, "Took %s. Seed %d.\n", human.Duration(e.took), e.seed)
	_, err := io.WriteString(w, b.String())
	return err
}

// A document is the result of a run as a command shows it: to people, as JSON, and
// as files in a folder.
type document interface {
	writeText(io.Writer) error
	writeFiles(dir string) error
}

// show prints a result, and writes it into the folder if there is one. What can't be written, as
// when the disk is full, keeps nothing from being printed: the run may have taken long.
func (o *output) show(d document, dir string) error {
	var unwritten error
	if dir != "" {
		unwritten = d.writeFiles(dir)
	}
	if o.JSON {
		return errors.Join(o.writeJSON(d), unwritten)
	}
	return errors.Join(d.writeText(o.Stdout), unwritten)
}

// conclude shows a result, and returns why the command fails, if it does: because of failed, which
// ended the run, since it was stopped, or since a check did not hold.
func (o *output) conclude(
	d document, dir string, failed error, partial bool, checks []report.Check,
) error {
	shown := o.show(d, dir)
	switch {
	case failed != nil:
		return errors.Join(shown, failed)
	case partial:
		return errors.Join(shown, errors.New("stopped before the end; the result is partial"))
	}
	return errors.Join(shown, failedChecks(checks))
}

// reportFolder makes the folder for a report, if there is to be one, so that what
// can't be written is known before the run.
func reportFolder(dir string) error {
	if dir == "" {
		return nil
	}
	if err := writable(dir); err != nil {
		return usage(fmt.Errorf("--out: %w", err))
	}
	return nil
}

// writable makes the folder and tries whether a file can be made in it: better
// now than after the runs.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// A reportFile is one of the files that a run with --out writes.
type reportFile struct {
	name  string
	write func(path string) error
}

// writeReport writes files into a folder, in this order, up to the first that can't be. Before each
// is written, its path is added to names: the last one may list them.
func writeReport(dir string, names *[]string, files ...reportFile) error {
	for i, f := range files {
		path := filepath.Join(dir, f.name)
		*names = append(*names, path)
		if err := f.write(path); err != nil {
			*names = (*names)[:i]
			return err
		}
	}
	return nil
}

// writeText writes a text into a file.
func writeText(path string, text func() (string, error)) error {
	t, err := text()
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, t)
		return err
	})
}

// resultFile is result.json, which holds what --json prints.
func resultFile(v any) reportFile {
	return reportFile{"result.json", func(path string) error {
		return writeText(path, func() (string, error) {
			text, err := indented(v)
			return string(text), err
		})
	}}
}

// failedChecks names each check that did not hold.
func failedChecks(checks []report.Check) error {
	var failed []string
	for _, c := range checks {
		if !c.OK {
			failed = append(failed, fmt.Sprintf("%s: %s", c.Name, c.Detail))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d checks did not hold:\n  %s", len(failed), len(checks),
		strings.Join(failed, "\n  "))
}

var unit = regexp.MustCompile(`(\d) (ns|µs|ms|s|min|h|%)([^\pL\d]|$)`)

// wrapped breaks a text between words so that lines have at most width columns.
// A number stays with its unit.
func wrapped(text string, width int) string {
	const joined = "\x00" // no space to Fields
	text = unit.ReplaceAllString(text, "$1"+joined+"$2$3")
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		length := len([]rune(word))
		switch {
		case i == 0:
		case column+1+length > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += length
	}
	return strings.ReplaceAll(b.String(), joined, " ")
}

// glossary sets terms and their meanings below each other.
func glossary(terms [][2]string) string {
	const indent = "\n      "
	var rows []string
	for _, term := range terms {
		rows = append(rows, "  "+term[0]+indent+strings.ReplaceAll(wrapped(term[1], 74), "\n", indent))
	}
	return strings.Join(rows, "\n")
}

// refused returns the error for a flag that was given though it means nothing.
func refused(flags *pflag.FlagSet, name, why string) error {
	return fmt.Errorf("--%s %s: has no effect: %s", name, flagText(flags.Lookup(name).Value), why)
}
