package docscheck

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

var makeTarget = regexp.MustCompile(`(?m)^([a-zA-Z][\w-]*)\s*:(?:[^=]|$)`)

// MakeTargets returns a problem for each "make X" whose X is no target of root's Makefile, and
// for each variable given to make that the Makefile does not read.
func MakeTargets(root string, commands []Command) ([]Problem, error) {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return nil, err
	}
	targets := make(map[string]bool)
	for _, m := range makeTarget.FindAllStringSubmatch(string(text), -1) {
		targets[m[1]] = true
	}
	var problems []Problem
	for _, c := range commands {
		if c.Words[0] != "make" {
			continue
		}
		for _, word := range c.Words[1:] {
			name, _, set := strings.Cut(word, "=")
			switch {
			case set && !strings.Contains(string(text), "$("+name):
				problems = append(problems, c.Problem("make %s: the Makefile does not read %s", word, name))
			case !set && !strings.HasPrefix(word, "-") && !targets[word]:
				problems = append(problems, c.Problem("make %s: no such target", word))
			}
		}
	}
	return problems, nil
}

// GoTool returns a problem for each "go run", "go build", "go vet" or "go test" of a path without a
// package, and for each -run, -bench or -fuzz that matches nothing there.
func GoTool(root string, commands []Command) []Problem {
	var problems []Problem
	for _, c := range commands {
		if c.Words[0] != "go" || len(c.Words) < 3 {
			continue
		}
		switch c.Words[1] {
		case "run", "build", "vet", "test":
			problems = append(problems, goPaths(root, &c)...)
		}
	}
	return problems
}

func goPaths(root string, c *Command) []Problem {
	if c.Dir != "" && !exists(root, c.Dir) {
		return nil // a folder of the reader
	}
	var problems []Problem
	var tests []string
	for i, word := range c.Words[2:] {
		value := strings.HasPrefix(c.Words[i+1], "-") // -bench .
		here := word == "." && c.Dir != "" && !value  // without cd, "." is a folder of the reader
		if !here && !strings.HasPrefix(word, "./") {
			continue
		}
		pattern, all := strings.CutSuffix(word, "/...")
		dir := path.Join(c.Dir, pattern)
		switch {
		case !exists(root, dir):
			problems = append(problems, c.Problem("go %s %s: there is no %s", c.Words[1], word, dir))
		case !all && len(glob(root, dir, "*.go")) == 0:
			problems = append(problems, c.Problem("go %s %s: no Go file in %s", c.Words[1], word, dir))
		case !all:
			tests = append(tests, glob(root, dir, "*_test.go")...)
		}
		if c.Words[1] == "run" {
			return problems // the program's arguments follow
		}
	}
	if c.Words[1] != "test" || len(tests) == 0 {
		return problems
	}
	for i, word := range c.Words[:len(c.Words)-1] {
		switch word {
		case "-run", "-bench", "-fuzz":
			if text := matches(tests, word, c.Words[i+1]); text != "" {
				problems = append(problems, c.Problem("%s", text))
			}
		}
	}
	return problems
}

func glob(root, dir, pattern string) []string {
	found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), pattern))
	if err != nil {
		panic(err) // the patterns are constants
	}
	return found
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Example|Fuzz|Benchmark)\w*)\(`)

// matches returns the problem that a pattern matches no function of the test files, or "".
func matches(files []string, flag, pattern string) string {
	if pattern == "^$" || pattern == "NONE" {
		return "" // runs nothing on purpose
	}
	first, _, _ := strings.Cut(pattern, "/")
	want, err := regexp.Compile(first)
	if err != nil {
		return fmt.Sprintf("%s %s: %v", flag, pattern, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err.Error()
		}
		for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
			kind := strings.HasPrefix(m[1], "Benchmark") == (flag == "-bench")
			if kind && want.MatchString(m[1]) {
				return ""
			}
		}
	}
	return fmt.Sprintf("%s %s matches nothing", flag, pattern)
}
