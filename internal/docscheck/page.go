package docscheck

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxColumns is the maximum length of a line outside of output blocks, in characters.
const MaxColumns = 100

// A Problem is an error in a page.
type Problem struct {
	Page string // slash-separated, relative to the root
	Line int    // counted from 1
	Text string
}

// String returns the problem in one line, in the format of compilers.
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.Page, p.Line, p.Text) }

// A Page is one Markdown file.
type Page struct {
	Path   string // slash-separated, relative to the root
	Blocks []Block

	lines   []string        // lines[i] is line i+1
	fenced  []*Block        // the block of a line, including its fences; nil outside of blocks
	anchors map[string]bool // of the headings, and of <a id="…">
}

// A Block is a fenced block of a page.
type Block struct {
	Line int    // of the first line inside
	Info string // what follows the opening fence: the language
	Text string // without the fences and their indentation
}

// Load reads the pages below root: README.md, CONTRIBUTING.md, SECURITY.md, and every .md file in
// docs and examples. It skips docs/reports, which holds outputs.
func Load(root string) ([]*Page, error) {
	files := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, folder := range []string{"docs", "examples"} {
		err := fs.WalkDir(os.DirFS(root), folder, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && name == "docs/reports":
				return fs.SkipDir
			case !d.IsDir() && path.Ext(name) == ".md":
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	pages := make([]*Page, 0, len(files))
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		pages = append(pages, Parse(name, string(text)))
	}
	return pages, nil
}

// Parse parses the text of the page at name, which is slash-separated and relative to the root.
func Parse(name, text string) *Page {
	p := &Page{Path: name, anchors: make(map[string]bool)}
	p.lines = strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	p.fenced = make([]*Block, len(p.lines))
	for i := 0; i < len(p.lines); i++ {
		if fence, _, ok := openingFence(p.lines[i]); ok {
			i = p.readBlock(i, fence)
			continue
		}
		p.readAnchors(p.lines[i])
	}
	return p
}

// openingFence returns a line's fence and the info string after it.
func openingFence(line string) (fence, info string, ok bool) {
	line = strings.TrimLeft(line, " ")
	for _, c := range "`~" {
		rest := strings.TrimLeft(line, string(c))
		if n := len(line) - len(rest); n >= 3 && !strings.ContainsRune(rest, c) {
			return line[:n], strings.TrimSpace(rest), true
		}
	}
	return "", "", false
}

// readBlock adds the block whose opening fence is lines[open], and returns the index of its
// closing fence, or of the page's last line.
func (p *Page) readBlock(open int, fence string) int {
	_, info, _ := openingFence(p.lines[open])
	indent, _, _ := strings.Cut(p.lines[open], fence)
	end := open + 1
	var text strings.Builder
	for ; end < len(p.lines); end++ {
		rest, closes := strings.CutPrefix(strings.TrimSpace(p.lines[end]), fence)
		if closes && strings.Trim(rest, fence[:1]) == "" {
			break
		}
		text.WriteString(strings.TrimPrefix(p.lines[end], indent) + "\n")
	}
	b := &Block{Line: open + 2, Info: info, Text: text.String()}
	p.Blocks = append(p.Blocks, *b)
	for i := open; i <= min(end, len(p.lines)-1); i++ {
		p.fenced[i] = b
	}
	return end
}

// readAnchors adds the anchors that the line defines.
func (p *Page) readAnchors(line string) {
	for _, m := range anchorTag.FindAllStringSubmatch(line, -1) {
		p.anchors[m[1]] = true
	}
	title := strings.TrimLeft(line, "#")
	if n := len(line) - len(title); n < 1 || n > 6 || !strings.HasPrefix(title, " ") {
		return
	}
	base := slug(title)
	name := base
	for i := 1; p.anchors[name]; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	p.anchors[name] = true
}

// slug returns the anchor that GitHub gives a heading.
func slug(title string) string {
	title = linkText.ReplaceAllString(strings.TrimSpace(title), "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

// Columns returns a problem for each line of more than [MaxColumns] characters. Output may be
// wider: a fenced block without a language, or whose language is text, console or json.
func (p *Page) Columns() []Problem {
	var problems []Problem
	for i, line := range p.lines {
		if b := p.fenced[i]; b != nil && isOutput(b.Info) {
			continue
		}
		if n := utf8.RuneCountInString(line); n > MaxColumns {
			text := fmt.Sprintf("%d columns, more than %d", n, MaxColumns)
			problems = append(problems, Problem{p.Path, i + 1, text})
		}
	}
	return problems
}

func isOutput(info string) bool {
	switch info {
	case "", "text", "console", "json":
		return true
	}
	return false
}
