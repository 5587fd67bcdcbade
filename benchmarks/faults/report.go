package main

import (
	"fmt"
	"strings"

	"github.com/snowfence/snowfence/internal/table"
)

// width is the maximum width of a line of text, in columns.
const width = 100

// caption says what was seen, when, and of which versions.
func (r *report) caption() string {
	var parts []string
	named := map[string]bool{}
	for _, l := range r.libraries {
		for _, path := range l.modules {
			if !named[path] {
				named[path] = true
				parts = append(parts, strings.TrimPrefix(path, "github.com/")+" "+r.Versions[path])
			}
		}
	}
	return fmt.Sprintf(
		"What %d callers of one key get when its load goes wrong, seen on %s with %s on %s: %s.",
		r.Callers, r.Date, r.Go, r.Platform, strings.Join(parts, ", "))
}

// text returns a line per cell, for a terminal.
func (r *report) text() string {
	var b strings.Builder
	b.WriteString(table.Wrap(r.caption(), width) + "\n")
	for i, f := range r.faults {
		fmt.Fprintf(&b, "\n%s: %s\n", f.name, f.what)
		row := r.row(i)
		for j := range row {
			fmt.Fprintf(&b, "  %-20s %s\n", row[j].Library, row[j].Seen.words(f))
		}
	}
	return b.String()
}

// row returns the cells of the fault at i.
func (r *report) row(i int) []cell { return r.Cells[i*len(r.libraries):][:len(r.libraries)] }

// legend explains the words of the table in Markdown.
const legend = `Do and DoChan are x/sync/singleflight's, in front of golang-lru; DoChan in a select with the
caller's context. Only the first load goes wrong. Callers have a deadline of 3 s; where the load
hangs it is 200 ms, or none, and in "more come" they come over a second.

A number counts callers; those not counted got an error or a value at once.
**†**: the key fails the next caller, too. **dies**: the process does.
**hang**: the caller does not return. **killed**: its goroutine ends. **panic**: it panics.
**zero**: it gets neither a value nor an error. **cancelled**: it gets the first caller's error.
**deadline**: it gets an error at its deadline, or at the first caller's. **at 3 s**: so late.
**2 loads**: all get a value, by a second load.
**0 of 50**: so many get a value. **stale**: what was loaded before the Delete is stored.
**lost**: what was loaded before the Set is stored.
`

// markdown returns a table with a row per fault and a column per library.
func (r *report) markdown() (string, error) {
	titles := []string{"load"}
	for _, l := range r.libraries {
		titles = append(titles, l.title)
	}
	t := table.New("", titles...)
	for i, f := range r.faults {
		cells := []table.Cell{table.Text(f.title)}
		row := r.row(i)
		for j := range row {
			cells = append(cells, table.Text(row[j].Brief))
		}
		t.Add(cells...)
	}
	text, err := t.Markdown()
	if err != nil {
		return "", err
	}
	return table.Wrap(r.caption(), width) + "\n\n" + text + "\n" + legend, nil
}
