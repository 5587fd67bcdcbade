package table

import (
	"fmt"
	"io"
	"strings"

	pretty "github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// The escape codes are our own, because go-pretty decides on colour once for
// the whole process, and ours belongs to a writer.
const (
	bold      = "\x1b[1m"
	boldGreen = "\x1b[1;32m"
	faint     = "\x1b[2m"
	reset     = "\x1b[0m"
)

// WriteText writes the table for a terminal or a text file: the title, aligned
// columns, the notes. The error is that of Validate or of w.
func (t *Table) WriteText(w io.Writer, style Style) error {
	if err := t.Validate(); err != nil {
		return err
	}
	var b strings.Builder
	if t.Title != "" {
		fmt.Fprintln(&b, style.paint(bold, Text(t.Title).text))
	}
	if len(t.Columns) > 0 {
		for _, line := range strings.Split(t.pretty(style).Render(), "\n") {
			fmt.Fprintln(&b, strings.TrimRight(line, " "))
		}
	}
	for _, note := range t.Notes {
		fmt.Fprintln(&b, style.paint(faint, Text(note).text))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown returns the table as a GitHub table, the best cells in bold, with
// its title as a bold line and its notes below.
func (t *Table) Markdown() (string, error) {
	if err := t.Validate(); err != nil {
		return "", err
	}
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	if t.Title != "" {
		fmt.Fprintf(&b, "**%s**\n\n", markdownText(Text(t.Title).text))
	}
	if len(t.Columns) > 0 {
		head, rule := make([]string, len(t.Columns)), make([]string, len(t.Columns))
		for i, c := range t.Columns {
			head[i] = markdownText(heading(Text(c.Title).text, c.Better))
			rule[i] = "---"
			if t.Numeric(i) {
				rule[i] = "---:"
			}
		}
		line(head)
		line(rule)
		for r, row := range t.Rows {
			cells := make([]string, len(row.Cells))
			for i := range row.Cells {
				cells[i] = markdownText(t.cellText(r, i))
				if t.Best(r, i) {
					cells[i] = "**" + cells[i] + "**"
				}
			}
			line(cells)
		}
	}
	for _, note := range t.Notes {
		fmt.Fprintf(&b, "\n%s\n", markdownText(Text(note).text))
	}
	return b.String(), nil
}

func (t *Table) pretty(style Style) pretty.Writer {
	p := pretty.NewWriter()
	s := pretty.StyleLight
	s.Format.Header = text.FormatDefault
	s.Options.DrawBorder = false
	s.Options.SeparateColumns = false
	s.Box.PaddingLeft = ""
	s.Box.PaddingRight = "   "
	p.SetStyle(s)
	head := make(pretty.Row, len(t.Columns))
	configs := make([]pretty.ColumnConfig, len(t.Columns))
	for i, c := range t.Columns {
		head[i] = style.paint(bold, heading(Text(c.Title).text, c.Better))
		configs[i] = pretty.ColumnConfig{Number: i + 1, Align: text.AlignLeft,
			AlignHeader: text.AlignLeft}
		if t.Numeric(i) {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	p.AppendHeader(head)
	p.SetColumnConfigs(configs)
	for r, row := range t.Rows {
		line := make(pretty.Row, len(row.Cells))
		for i := range row.Cells {
			line[i] = t.cellText(r, i)
			switch {
			case t.Best(r, i):
				line[i] = style.paint(boldGreen, t.cellText(r, i))
			case t.Columns[i].Highlight:
				line[i] = style.paint(bold, t.cellText(r, i))
			}
		}
		p.AppendRow(line)
	}
	return p
}

// cellText adds the row's arrow to its first cell, which names the measure.
func (t *Table) cellText(row, column int) string {
	r := t.Rows[row]
	if column == 0 && !r.Cells[0].IsNumber() {
		return heading(r.Cells[0].text, r.Better)
	}
	return r.Cells[column].text
}

func (s Style) paint(code, str string) string {
	if !s.Color || str == "" {
		return str
	}
	return code + str + reset
}

// markdownText keeps text from being read as markup.
var markdownText = strings.NewReplacer(
	`\`, `\\`, "|", `\|`, "<", "&lt;", "&", "&amp;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "]",
	`\]`,
).Replace
