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
// columns, the notes. No line is wider than the style allows. The error is that
// of Validate or of w.
func (t *Table) WriteText(w io.Writer, style Style) error {
	if err := t.Validate(); err != nil {
		return err
	}
	var b strings.Builder
	paragraph := func(code, str string, indent int) {
		all := []string{Text(str).text}
		if style.Width > 0 {
			all = lines(cut(words(all[0]), style.Width-indent), style.Width, indent)
		}
		for _, line := range all {
			fmt.Fprintln(&b, style.paint(code, line))
		}
	}
	if t.Title != "" {
		paragraph(bold, t.Title, 0)
	}
	for i, block := range t.blocks(style.Width) {
		if i > 0 {
			fmt.Fprintln(&b)
		}
		for _, line := range strings.Split(t.pretty(block, style), "\n") {
			fmt.Fprintln(&b, strings.TrimRight(line, " "))
		}
	}
	for _, note := range t.Notes {
		paragraph(faint, note, hanging)
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

// pretty renders columns beside each other.
func (t *Table) pretty(columns []*column, style Style) string {
	p := pretty.NewWriter()
	s := pretty.StyleLight
	s.Format.Header = text.FormatDefault
	s.Options.DrawBorder = false
	s.Options.SeparateColumns = false
	s.Box.PaddingLeft = ""
	s.Box.PaddingRight = strings.Repeat(" ", gap)
	p.SetStyle(s)
	head := make(pretty.Row, len(columns))
	configs := make([]pretty.ColumnConfig, len(columns))
	cells := make([]pretty.Row, len(t.Rows))
	for i, c := range columns {
		painted := func(code string, words []string) string {
			all := lines(words, c.width, c.indent)
			for k := range all {
				all[k] = style.paint(code, all[k])
			}
			return strings.Join(all, "\n")
		}
		head[i] = painted(bold, c.texts[0])
		configs[i] = pretty.ColumnConfig{Number: i + 1, Align: text.AlignLeft,
			AlignHeader: text.AlignLeft, VAlignHeader: text.VAlignBottom}
		if c.number {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
		for r := range t.Rows {
			code := ""
			switch {
			case t.Best(r, c.index):
				code = boldGreen
			case t.Columns[c.index].Highlight:
				code = bold
			}
			cells[r] = append(cells[r], painted(code, c.texts[r+1]))
		}
	}
	p.AppendHeader(head)
	p.SetColumnConfigs(configs)
	p.AppendRows(cells)
	return p.Render()
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
	if !s.Color || code == "" || str == "" {
		return str
	}
	return code + str + reset
}

// markdownText keeps text from being read as markup.
var markdownText = strings.NewReplacer(
	`\`, `\\`, "|", `\|`, "<", "&lt;", "&", "&amp;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "]",
	`\]`,
).Replace
