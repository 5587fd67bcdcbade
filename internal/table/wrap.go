package table

import (
	"regexp"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// unit finds the space between a number and its unit, and slash the one before a slash: neither is
// a place to break a line.
var (
	unit  = regexp.MustCompile(`(\d) (ns|µs|ms|s|min|h|%|B|[KMGTP]iB)([^\pL\d]|$)`)
	slash = strings.NewReplacer(" /", joined+"/", " –", joined+"–", " ↑", joined+"↑", " ↓", joined+"↓")
)

// joined stands for a space within a word. It can't be in the text of a cell.
const joined = "\x00"

// Wrap breaks a text between words so that lines have at most width columns. A number stays with
// its unit. A word that is longer has a line of its own.
func Wrap(s string, width int) string {
	return strings.Join(lines(words(s), width, 0), "\n")
}

// Whole returns s with no-break spaces where Wrap would not break a line.
func Whole(s string) string {
	all := words(s)
	for i, w := range all {
		all[i] = strings.ReplaceAll(w, " ", "\u00a0")
	}
	return strings.Join(all, " ")
}

// words splits s where a line may be broken.
func words(s string) []string {
	all := strings.Fields(slash.Replace(unit.ReplaceAllString(s, "$1"+joined+"$2$3")))
	for i, w := range all {
		all[i] = strings.ReplaceAll(w, joined, " ")
	}
	return all
}

// lines sets words in lines of at most width columns, the second and further ones indented. It
// returns at least one line.
func lines(words []string, width, indent int) []string {
	var all []string
	line, used := "", 0
	for i, w := range words {
		size := text.StringWidth(w)
		switch {
		case i == 0:
		case used+1+size > width:
			all = append(all, line)
			line, used = strings.Repeat(" ", indent), indent
		default:
			line, used = line+" ", used+1
		}
		line, used = line+w, used+size
	}
	return append(all, line)
}

// cut breaks words that are longer than width.
func cut(words []string, width int) []string {
	var all []string
	for _, w := range words {
		for text.StringWidth(w) > width {
			head, size := 0, 0
			for i, r := range w {
				if size += text.RuneWidth(r); size > width && i > 0 {
					break
				}
				head = i + len(string(r))
			}
			all, w = append(all, w[:head]), w[head:]
		}
		if w != "" {
			all = append(all, w)
		}
	}
	return all
}
