package docscheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// GoBlocks compiles and vets the pages' Go blocks in a temporary module, made in dir, that uses the
// checkout at root. It may download modules. It returns a problem for each error.
//
// A block that begins with a package clause is a file, and is compiled as it stands. Any other
// block is a snippet of the file before it on the page: see [wrap]. Blocks with the language "go
// ignore" are skipped.
func GoBlocks(ctx context.Context, root, dir string, pages []*Page) ([]Problem, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if err := writeModule(root, dir); err != nil {
		return nil, err
	}
	packages, err := packageNames(ctx, root)
	if err != nil {
		return nil, err
	}
	w := writer{dir: dir, imports: packages}
	for _, p := range pages {
		w.file = nil
		for _, b := range p.Blocks {
			if b.Info == "go" {
				if err := w.write(p, b); err != nil {
					return nil, err
				}
			}
		}
	}
	if w.packages == 0 {
		return w.problems, nil
	}
	found, err := vet(ctx, dir)
	return append(w.problems, found...), err
}

// A writer writes a package for each file among the blocks, with the snippets that follow it.
type writer struct {
	dir      string
	imports  map[string][]string // import paths by package name
	packages int
	files    int
	file     *file // the last one of the page
	problems []Problem
}

// A file is a block with a package clause.
type file struct {
	dir      string
	pkg      string
	test     bool            // it needs a name that ends in _test.go
	declared map[string]bool // at the top level of the package
}

var packageClause = regexp.MustCompile(`(?m)^package (\w+)`)

func (w *writer) write(p *Page, b Block) error {
	var text string
	if m := packageClause.FindStringSubmatch(b.Text); m != nil {
		w.newPackage(m[1], strings.Contains(b.Text, `"testing"`))
		w.file.declare(b.Text)
		text = b.Text
	} else {
		if w.file == nil {
			w.newPackage("snippets", false)
		}
		var wrong string
		if text, wrong = w.wrap(b.Text); wrong != "" {
			w.problems = append(w.problems, Problem{p.Path, b.Line, wrong})
			return nil
		}
	}
	w.files++
	name := fmt.Sprintf("block%d.go", w.files)
	if w.file.test {
		name = fmt.Sprintf("block%d_test.go", w.files)
	}
	if err := os.MkdirAll(w.file.dir, 0o755); err != nil {
		return err
	}
	// A line directive makes the compiler's errors name the page and its line. In a snippet, wrap
	// has left a mark for the directive.
	text = strings.Replace(text, lineMark, fmt.Sprintf("//line %s%s:%d", pageMark, p.Path, b.Line), 1)
	if !strings.Contains(text, "//line ") {
		text = fmt.Sprintf("//line %s%s:%d\n%s", pageMark, p.Path, b.Line, text)
	}
	return os.WriteFile(filepath.Join(w.file.dir, name), []byte(text), 0o644)
}

func (w *writer) newPackage(name string, test bool) {
	w.packages++
	w.file = &file{
		dir:      filepath.Join(w.dir, fmt.Sprintf("page%d", w.packages)),
		pkg:      name,
		test:     test,
		declared: make(map[string]bool),
	}
}

// pageMark is the prefix of page paths in the compiler's output. It makes them absolute, so that
// the go command does not rewrite them.
const pageMark = "/page/"

var complaint = regexp.MustCompile(`(?m)/page/(\S+\.md):(\d+)(?::\d+)?: (.*)$`)

// vet compiles all packages and their tests, and returns the errors.
func vet(ctx context.Context, dir string) ([]Problem, error) {
	var problems []Problem
	seen := make(map[Problem]bool)
	// The compiler shows every error, and vet only the first, but vet also reads the tests.
	for _, args := range [][]string{
		{"build", "-gcflags=-e", "-o", os.DevNull, "./..."},
		{"vet", "./..."},
	} {
		out, err := goCommand(ctx, dir, args...).CombinedOutput()
		if err == nil {
			continue
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return nil, err
		}
		found := complaint.FindAllStringSubmatch(string(out), -1)
		if len(found) == 0 {
			return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		for _, m := range found {
			line, err := strconv.Atoi(m[2])
			if err != nil {
				return nil, err
			}
			if problem := (Problem{m[1], line, m[3]}); !seen[problem] {
				seen[problem] = true
				problems = append(problems, problem)
			}
		}
	}
	return problems, nil
}

var moduleClause = regexp.MustCompile(`(?m)^module .*$`)

// writeModule makes dir a module that can import the same packages as root and its benchmarks.
func writeModule(root, dir string) error {
	// The benchmarks' module already requires the other libraries that pages show.
	mod, err := os.ReadFile(filepath.Join(root, "benchmarks", "go.mod"))
	if err != nil {
		return err
	}
	text := moduleClause.ReplaceAllString(string(mod), "module example.com/docs")
	text = strings.ReplaceAll(text, "=> ../", "=> "+strconv.Quote(filepath.ToSlash(root)))
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o644); err != nil {
		return err
	}
	var sums []byte
	for _, name := range []string{"go.sum", "benchmarks/go.sum"} {
		sum, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		sums = append(sums, sum...)
	}
	return os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o644)
}

// packageNames returns the import paths that a page can use without an import, by package name:
// those of the standard library and of the module at root.
func packageNames(ctx context.Context, root string) (map[string][]string, error) {
	out, err := goCommand(ctx, root, "list", "-mod=readonly", "-f", "{{.Name}} {{.ImportPath}}",
		"std", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	names := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		name, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		hidden := strings.Contains(path+"/", "/internal/") || strings.HasPrefix(path, "internal/") ||
			strings.HasPrefix(path, "vendor/")
		if name != "main" && !hidden {
			names[name] = append(names[name], path)
		}
	}
	return names, nil
}

func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	// -mod=mod, since the pages import packages that the benchmarks do not require directly.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	return cmd
}
