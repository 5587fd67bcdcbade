package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

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

// A reportFile is one of the files that a run with --out writes.
type reportFile struct {
	name  string
	write func(path string) error
}

// writeReport writes files into a folder, in this order. Before each is written, its path is added to names: the
// last one may list them.
func writeReport(dir string, names *[]string, files ...reportFile) error {
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		*names = append(*names, path)
		if err := f.write(path); err != nil {
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
