package docscheck

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	link      = regexp.MustCompile(`\]\(\s*<?([^()\s>]+)>?(?:\s+"[^"]*")?\s*\)`)
	reference = regexp.MustCompile(`^\s{0,3}\[[^\]^]+\]:\s*<?([^\s>]+)`)
	attribute = regexp.MustCompile(`\b(?:href|src|srcset)="([^"\s]+)"`)
	linkText  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	anchorTag = regexp.MustCompile(`<[a-z0-9]+ (?:id|name)="([^"]+)"`)
	codeSpan  = regexp.MustCompile("`+[^`]*`+")
)

// Links returns a problem for each relative link whose file or anchor does not exist. Anchors are
// looked up in the given pages, and those of other Markdown files in root. Links to other sites are
// not followed, so that the check does not depend on them.
func Links(root string, pages []*Page) []Problem {
	known := make(map[string]*Page)
	for _, p := range pages {
		known[p.Path] = p
	}
	var problems []Problem
	for _, p := range pages {
		for i, line := range p.lines {
			if p.fenced[i] != nil {
				continue
			}
			for _, target := range targets(line) {
				if text := broken(root, known, p, target); text != "" {
					problems = append(problems, Problem{p.Path, i + 1, text})
				}
			}
		}
	}
	return problems
}

// targets returns the targets of the links in a line.
func targets(line string) []string {
	line = codeSpan.ReplaceAllString(line, "`code`")
	var all []string
	for _, pattern := range []*regexp.Regexp{link, reference, attribute} {
		for _, m := range pattern.FindAllStringSubmatch(line, -1) {
			all = append(all, m[1])
		}
	}
	return all
}

// broken returns the problem of a link of page p, or "".
func broken(root string, known map[string]*Page, p *Page, target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return fmt.Sprintf("link to %s: %v", target, err)
	}
	if u.Scheme != "" || u.Host != "" {
		return ""
	}
	name := p.Path
	if u.Path != "" {
		name = path.Join(path.Dir(p.Path), u.Path)
		if path.IsAbs(u.Path) {
			name = strings.TrimPrefix(u.Path, "/") // GitHub resolves it from the repository's root
		}
		// exists is case-sensitive, unlike some file systems.
		if !exists(root, name) {
			return fmt.Sprintf("link to %s: there is no %s", target, name)
		}
	}
	if u.Fragment == "" || path.Ext(name) != ".md" {
		return ""
	}
	to := known[name]
	if to == nil {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Sprintf("link to %s: %v", target, err)
		}
		to = Parse(name, string(text))
		known[name] = to
	}
	if !to.anchors[u.Fragment] {
		return fmt.Sprintf("link to %s: %s has no heading #%s", target, name, u.Fragment)
	}
	return ""
}

// exists reports whether root holds a file or folder of exactly this slash-separated name.
func exists(root, name string) bool {
	if name == "." {
		return true
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return false
	}
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(path.Dir(name))))
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.Name() == path.Base(name) {
			return true
		}
	}
	return false
}
