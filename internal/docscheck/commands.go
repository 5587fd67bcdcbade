package docscheck

import (
	"fmt"
	"path"
	"strings"
)

// A Command is one command that a page shows.
type Command struct {
	Page  string
	Line  int
	Dir   string   // to which the block or span has changed by cd; "" is the root
	Words []string // the program and its arguments, without quotes and redirections
}

// programs are the commands that a code span may show. In a block of shell, all commands count.
var programs = map[string]bool{
	"make": true, "go": true, "cachebench": true, "bin/cachebench": true, "cd": true,
}

// Problem returns a problem at the command's position, with a text formatted as by fmt.Sprintf.
func (c *Command) Problem(format string, args ...any) Problem {
	return Problem{c.Page, c.Line, fmt.Sprintf(format, args...)}
}

// Commands returns the commands of the page's shell blocks (sh, bash, shell), of the lines of its
// other blocks that begin with "$ ", and of its code spans that begin with one of programs. A line
// that ends in a backslash continues on the next one.
func (p *Page) Commands() []Command {
	var commands []Command
	dir := "" // until the end of a block
	for i := 0; i < len(p.lines); i++ {
		first := i
		b := p.fenced[i]
		if i > 0 && b != p.fenced[i-1] {
			dir = ""
		}
		if b == nil {
			text := p.lines[i]
			for i+1 < len(p.lines) && p.fenced[i+1] == nil && strings.Count(text, "`")%2 == 1 {
				i++ // the span continues on the next line
				text += " " + strings.TrimSpace(p.lines[i])
			}
			for _, span := range codeSpan.FindAllString(text, -1) {
				found := split(strings.TrimPrefix(strings.Trim(span, "` "), "$ "))
				if len(found) > 0 && programs[found[0].Words[0]] {
					commands, _ = p.add(commands, first, "", found)
				}
			}
			continue
		}
		line, prompt := strings.CutPrefix(strings.TrimSpace(p.lines[i]), "$ ")
		if !prompt && !isShell(b.Info) {
			continue
		}
		if _, _, fence := openingFence(line); fence {
			continue
		}
		for strings.HasSuffix(line, `\`) && i+1 < len(p.lines) && p.fenced[i+1] == b {
			i++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(p.lines[i])
		}
		commands, dir = p.add(commands, first, dir, split(line))
	}
	return commands
}

func isShell(info string) bool { return info == "sh" || info == "bash" || info == "shell" }

// add appends the commands found in lines[i], of which the first runs in the folder dir. It also
// returns the folder after the last one.
func (p *Page) add(commands []Command, i int, dir string, found []Command) ([]Command, string) {
	for _, c := range found {
		if c.Words[0] == "cd" && len(c.Words) == 2 {
			dir = path.Join(dir, c.Words[1])
			continue
		}
		c.Page, c.Line, c.Dir = p.Path, i+1, dir
		commands = append(commands, c)
	}
	return commands, dir
}

// split returns the commands of a line of shell, each with at least one word. It parses quotes,
// comments, redirections and the operators between commands, and expands nothing.
func split(line string) []Command {
	var commands []Command
	var words []string
	var word strings.Builder
	begun := false // a word has begun; it may be empty: ''
	flush := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	end := func() {
		flush()
		if words = program(words); len(words) > 0 {
			commands = append(commands, Command{Words: words})
		}
		words = nil
	}
	quote := rune(0)
	skip := false // the next word is the target of a redirection
	for i, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ' || r == '\t':
			if skip && !begun {
				continue
			}
			if skip {
				word.Reset()
				begun, skip = false, false
			}
			flush()
		case r == '#' && !begun && !skip:
			end()
			return commands
		case strings.ContainsRune("|&;", r) && !skip:
			end()
		case r == '>' || r == '<':
			if i > 0 && strings.ContainsRune("0123456789", rune(line[i-1])) {
				word.Reset() // 2>
				begun = false
			}
			flush()
			skip = true
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if skip {
		begun = false
	}
	end()
	return commands
}

// program drops environment settings, time and env before a program.
func program(words []string) []string {
	for len(words) > 0 {
		name, _, set := strings.Cut(words[0], "=")
		if words[0] != "time" && words[0] != "env" && (!set || strings.ContainsAny(name, "-./")) {
			break
		}
		words = words[1:]
	}
	return words
}
