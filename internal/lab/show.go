package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/snowfence/snowfence/internal/atomicfile"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// A shown is the result that a command prints and writes. Its JSON is the format of --json and of
// result.json for all experiments.
type shown struct {
	Command     string             `json:"command"`
	Experiment  string             `json:"experiment"`
	Params      *params.Set        `json:"params"`
	Environment report.Environment `json:"environment"`
	Partial     bool               `json:"partial"`
	Finding     string             `json:"finding"`
	Checks      []report.Check     `json:"checks"` // null without --check
	Result      any                `json:"result"`
	Files       []string           `json:"files"` // null without --out

	page *Page
	took time.Duration
}

func newShown(experiment, command string, set *params.Set, page *Page, result any) *shown {
	return &shown{
		Command: command, Experiment: experiment, Params: set,
		Environment: report.CurrentEnvironment(), Partial: page.Partial, Finding: page.Finding,
		Checks: page.Checks, Result: result, page: page,
	}
}

// show prints a result, and writes it into dir unless that is empty. If writing fails, it still
// prints everything: the run may have taken long.
func (s *shown) show(o *Output, dir string) error {
	var unwritten error
	if dir != "" {
		unwritten = s.writeFiles(dir)
	}
	if o.JSON {
		return errors.Join(s.writeJSON(o.Stdout), unwritten)
	}
	return errors.Join(s.writeText(o.Stdout), unwritten)
}

func (s *shown) writeJSON(w io.Writer) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("result as JSON: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

func (s *shown) writeText(w io.Writer) error {
	style := table.StyleFor(w)
	var b strings.Builder
	for _, t := range s.page.Tables {
		if err := t.WriteText(&b, style); err != nil {
			return err
		}
		b.WriteByte('\n')
	}
	fmt.Fprintln(&b, table.Wrap(s.Finding, style.Width))
	if len(s.Checks) > 0 {
		b.WriteByte('\n')
		if err := report.ChecksTable(s.Checks).WriteText(&b, style); err != nil {
			return err
		}
	}
	if len(s.Files) > 0 {
		fmt.Fprintf(&b, "\nWritten:\n  %s\n", strings.Join(s.Files, "\n  "))
	}
	fmt.Fprintf(&b, "Took %s.", human.Duration(s.took))
	if s.page.Seed != nil {
		fmt.Fprintf(&b, " Seed %d.", *s.page.Seed)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFiles writes the files, until the first error. It writes the result last, because that names
// the others.
func (s *shown) writeFiles(dir string) error {
	p := s.page
	doc := s.report()
	write := func(name string, to func(path string) error) error {
		path := filepath.Join(dir, name)
		s.Files = append(s.Files, path)
		if err := to(path); err != nil {
			s.Files = s.Files[:len(s.Files)-1]
			return err
		}
		return nil
	}
	if err := write("report.html", doc.WriteHTMLFile); err != nil {
		return err
	}
	if len(p.Charts) > 0 {
		if err := write(s.Experiment+".svg", p.Charts[0].WriteSVGFile); err != nil {
			return err
		}
		data := doc.WriteCSVFile
		if p.Series != nil {
			data = func(path string) error { return series.WriteCSVFile(path, p.Series...) }
		}
		if err := write("series.csv", data); err != nil {
			return err
		}
	}
	if err := write("tables.md", s.writeMarkdown); err != nil {
		return err
	}
	return write("result.json", func(path string) error {
		return atomicfile.Write(path, s.writeJSON)
	})
}

func (s *shown) writeMarkdown(path string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		for _, t := range s.page.Tables {
			text, err := t.Markdown()
			if err != nil {
				return err
			}
			if _, err := io.WriteString(w, text+"\n"); err != nil {
				return err
			}
		}
		return nil
	})
}

// report returns the result as a page.
func (s *shown) report() *report.Report {
	p := s.page
	var glossary [][2]string
	for _, t := range p.Glossary {
		glossary = append(glossary, [2]string{t.Row, t.Meaning})
	}
	return &report.Report{
		Title:       p.Title,
		Finding:     p.Finding,
		Summary:     p.Story,
		Command:     s.Command,
		Seed:        p.Seed,
		Scenario:    s.Params.Text(s.Experiment),
		Environment: s.Environment,
		Checks:      s.Checks,
		Tables:      append(p.Tables[:len(p.Tables):len(p.Tables)], p.More...),
		Glossary:    glossary,
		Charts:      p.Charts,
	}
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

// reportFolder creates the folder for a report, if there is to be one, and a file in it as a test,
// so that an error shows before the run and not after it.
func reportFolder(dir string) error {
	if dir == "" {
		return nil
	}
	err := os.MkdirAll(dir, 0o750)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".tmp-*"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return usage(fmt.Errorf("--out: %w", err))
	}
	return nil
}

// commandLine returns the command line for a shell.
func commandLine(cmd *cobra.Command) string {
	words := []string{cmd.CommandPath()}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch text := f.Value.String(); {
		case f.NoOptDefVal == "true" && text == "true":
			words = append(words, "--"+f.Name)
		case f.NoOptDefVal == "true":
			words = append(words, "--"+f.Name+"="+text)
		default:
			words = append(words, "--"+f.Name, shellWord(text))
		}
	})
	return strings.Join(words, " ")
}

// shellWord quotes a word if a shell would not take it literally.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("_-.,:/=+%@", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func joined(words []string) string { return strings.Join(words, " ") }
