package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/stalltest"
)

// width is the maximum width of a line of text, in columns.
const width = 100

// A report is written by -json.
type report struct {
	Date     string             `json:"date"`
	Go       string             `json:"go"`
	Platform string             `json:"platform"`
	Versions map[string]string  `json:"versions"` // by module
	Callers  int                `json:"callers"`
	Results  []stalltest.Result `json:"results"` // those of a case beside each other

	cases     []stalltest.Case
	libraries []library
}

func newReport(o *options, results []stalltest.Result) *report {
	return &report{
		Date: time.Now().Format(time.DateOnly),
		Go:   runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Versions: versions(o.libraries), Callers: o.callers, Results: results,
		cases: o.cases, libraries: o.libraries,
	}
}

// versions returns the versions of the modules of the libraries, by path.
func versions(libraries []library) map[string]string {
	wanted := map[string]string{}
	for i := range libraries {
		for _, path := range libraries[i].modules {
			wanted[path] = "unknown"
		}
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return wanted
	}
	for _, m := range info.Deps {
		if _, ok := wanted[m.Path]; ok {
			wanted[m.Path] = m.Version
			if m.Replace != nil { // Snowfence, which is the folder above
				wanted[m.Path] = "of this source tree"
			}
		}
	}
	return wanted
}

// caption says what was seen, when, and of which versions.
func (r *report) caption() string {
	var parts []string
	for i := range r.libraries {
		for _, path := range r.libraries[i].modules {
			part := strings.TrimPrefix(path, "github.com/") + " " + r.Versions[path]
			if !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		}
	}
	return fmt.Sprintf(
		"What %d callers of one key get when its load goes wrong, seen on %s with %s on %s: %s.",
		r.Callers, r.Date, r.Go, r.Platform, strings.Join(parts, ", "))
}

// result returns the result of a library in a case.
func (r *report) result(c *stalltest.Case, l *library) *stalltest.Result {
	for i := range r.Results {
		if x := &r.Results[i]; x.Case == c.Name && x.Subject == l.subject.Name {
			return x
		}
	}
	return &stalltest.Result{Verdict: stalltest.None, Seen: "?"} // all have one
}

// text returns a line per cell, for a terminal.
func (r *report) text() string {
	var b strings.Builder
	b.WriteString(table.Wrap(r.caption(), width) + "\n")
	for i := range r.cases {
		c := &r.cases[i]
		fmt.Fprintf(&b, "\n%s: %s; %s\n", c.Name, c.Group, c.What)
		for j := range r.libraries {
			l := &r.libraries[j]
			x := r.result(c, l)
			fmt.Fprintf(&b, "  %-14s %-5s %s", l.subject.Name, x.Verdict, x.Seen)
			if x.Why != "" {
				fmt.Fprintf(&b, " (%s)", x.Why)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// brief are the cases of the first table, which the README quotes, and their titles there.
var brief = []struct{ name, title string }{
	{"panic", "panics"},
	{"goexit", "calls Goexit"},
	{"hang-hot", "hangs, more come"},
	{"first-cancelled", "first cancelled"},
	{"nested", "needs itself"},
	{"delete", "`Delete`"},
}

// markdown returns the tables in Markdown: one in short, and one for each group of cases.
func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString(table.Wrap(r.caption(), width) + "\n")
	if short := r.short(); len(short) > 0 {
		b.WriteString("\n### In short\n\n" + r.table(short))
	}
	for i := 0; i < len(r.cases); {
		end := i
		for end < len(r.cases) && r.cases[end].Group == r.cases[i].Group {
			end++
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s", r.cases[i].Group, r.table(r.cases[i:end]))
		i = end
	}
	b.WriteString("\n### Words\n\n" + legend)
	return b.String()
}

// short returns the cases of the first table.
func (r *report) short() (cases []stalltest.Case) {
	for _, want := range brief {
		for i := range r.cases {
			if c := r.cases[i]; c.Name == want.name {
				c.Title = want.title
				cases = append(cases, c)
			}
		}
	}
	return cases
}

// table returns a table with a row for each library that has a result. The words of cells have a
// meaning in Markdown on purpose, so they are not those of package table.
func (r *report) table(cases []stalltest.Case) string {
	var titles []string
	for i := range cases {
		titles = append(titles, cases[i].Title)
	}
	var text strings.Builder
	text.WriteString(row("", titles) + "|---" + strings.Repeat("|---", len(cases)) + "|\n")
	for i := range r.libraries {
		l := &r.libraries[i]
		var cells []string
		has := false
		for j := range cases {
			x := r.result(&cases[j], l)
			has = has || x.Verdict != stalltest.None
			seen := x.Seen
			if x.Verdict == stalltest.Pass {
				seen += " ✓"
			}
			cells = append(cells, seen)
		}
		if has {
			text.WriteString(row(l.title, cells))
		}
	}
	return text.String()
}

// row returns a line of a table. A title of "" is that of the column of the libraries.
func row(title string, cells []string) string {
	if title != "" {
		title = " " + title
	}
	return "|" + title + " | " + strings.Join(cells, " | ") + " |\n"
}

// legend explains the words of the tables.
const legend = `- **✓**: what the case wants, which ` + "`stalltest.Cases`" + ` describes. **–**: the library has no such
  call; a library that has none of a table's calls is left out.
- **†**: the key fails the next caller, too.
- A number counts the callers with an outcome; those not counted got a value or an error in time.
- **value**, **error**: before the caller's deadline. **deadline**: an error when that had passed.
  **late**: a value only then. **hang**: no return even then. **stale**: the value of before.
  **zero**: neither a value nor an error. **wrong**: the value of another key. **cancelled**: the
  end of another caller's context. **panic**, **killed**: the caller panics, or its goroutine is
  ended. **dies**: the process ends.
- **40 of 50**: 40 of the callers got a value. **9 of 10**: nine keys of the batch came. **fewer**:
  less than nine. **2 loads**: the key was loaded twice.
- **stuck**: a caller whose context has ended waits for the load. **runs on**: the load's context
  does not end when no caller waits. **fresh**, **stale**: what is stored after a Delete. **kept**,
  **lost**: the value that was set. **no calls**: the callback is not called again.
`
