package docscheck_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/docscheck"
)

const root = "../.."

// pages returns the project's pages.
func pages(t *testing.T) []*docscheck.Page {
	t.Helper()
	all, err := docscheck.Load(root)
	require.NoError(t, err)
	require.Greater(t, len(all), 5)
	return all
}

// none fails the test if there are problems, and prints one a line.
func none(t *testing.T, problems []docscheck.Problem) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

func TestColumnsOfPages(t *testing.T) {
	for _, p := range pages(t) {
		none(t, p.Columns())
	}
}

func TestLinksOfPages(t *testing.T) {
	none(t, docscheck.Links(root, pages(t)))
}

func TestMakeAndGoCommandsOfPages(t *testing.T) {
	var commands []docscheck.Command
	for _, p := range pages(t) {
		commands = append(commands, p.Commands()...)
	}
	require.Greater(t, len(commands), 20)
	problems, err := docscheck.MakeTargets(root, commands)
	require.NoError(t, err)
	none(t, append(problems, docscheck.GoTool(root, commands)...))
}

func TestGoBlocksOfPages(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it may download the modules of benchmarks/")
	}
	problems, err := docscheck.GoBlocks(t.Context(), root, t.TempDir(), pages(t))
	require.NoError(t, err)
	none(t, problems)
}

// page returns a page of docs. A tilde stands for a backquote.
func page(lines ...string) *docscheck.Page {
	return docscheck.Parse("docs/page.md", strings.ReplaceAll(strings.Join(lines, "\n"), "~", "`"))
}

// example reads a page of testdata.
func example(t *testing.T, name string) *docscheck.Page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return docscheck.Parse(name, string(text))
}

func texts(problems []docscheck.Problem) []string {
	all := make([]string, 0, len(problems))
	for _, p := range problems {
		all = append(all, p.String())
	}
	return all
}

func TestColumns(t *testing.T) {
	wide := strings.Repeat("ü", docscheck.MaxColumns+1)
	p := page(wide[2:], wide, "~~~", wide, "~~~", "~~~go", wide, "~~~", "~~~console", wide, "~~~")
	assert.Equal(t, []string{
		"docs/page.md:2: 101 columns, more than 100",
		"docs/page.md:7: 101 columns, more than 100",
	}, texts(p.Columns()))
}

func TestLinks(t *testing.T) {
	p := page(
		"# A heading: with `code`, [a link](failures.md) & signs_",
		"# Twice", "# Twice", "<a id=\"named\"></a>",
		"[a](#a-heading-with-code-a-link--signs_) [b](#twice) [c](#twice-1) [d](#named)",
		"[e](../README.md) [f](architecture.md#layers) [g](../docs) ~[i](none.md)~",
		"[h](https://example.com/none)",
		"~~~", "[j](none.md)", "# No heading", "~~~",
		"[k](#twice-2) [l](none.md) [m](../readme.md)",
		"![n](none.svg) <img src=\"none.png\"> [o](glossary.md#no-term) [p](#no-heading)",
		"[q][r] [s](../../outside.md)", "", "[r]: none.html",
	)
	assert.Equal(t, []string{
		"docs/page.md:12: link to #twice-2: docs/page.md has no heading #twice-2",
		"docs/page.md:12: link to none.md: there is no docs/none.md",
		"docs/page.md:12: link to ../readme.md: there is no readme.md",
		"docs/page.md:13: link to none.svg: there is no docs/none.svg",
		"docs/page.md:13: link to glossary.md#no-term: docs/glossary.md has no heading #no-term",
		"docs/page.md:13: link to #no-heading: docs/page.md has no heading #no-heading",
		"docs/page.md:13: link to none.png: there is no docs/none.png",
		"docs/page.md:14: link to ../../outside.md: there is no ../outside.md",
		"docs/page.md:16: link to none.html: there is no docs/none.html",
	}, texts(docscheck.Links(root, []*docscheck.Page{p})))
}

func TestCommands(t *testing.T) {
	p := page(
		"Run ~make test~, ~FOO=1 make check X=y~ or ~make~; ~make~ and ~cache~ alone,",
		"~bin/cachebench run --keys",
		"  zipf:1.01~ over two lines.",
		"~~~sh",
		"cd benchmarks && go run ./compare -quick >out.txt 2>&1 | head # comment",
		"go test ./cache -run 'Test A|B' \\",
		"  -count 1; time make demo",
		"~~~",
		"~~~",
		"$ cachebench faults --check",
		"make nothing of output",
		"~~~",
	)
	var got []string
	for _, c := range p.Commands() {
		got = append(got, strings.Join(append([]string{c.Dir}, c.Words...), ","))
	}
	assert.Equal(t, []string{
		",make,test", ",make,check,X=y", ",make", ",make",
		",bin/cachebench,run,--keys,zipf:1.01",
		"benchmarks,go,run,./compare,-quick", "benchmarks,head",
		"benchmarks,go,test,./cache,-run,Test A|B,-count,1", "benchmarks,make,demo",
		",cachebench,faults,--check",
	}, got)
}

func TestMakeAndGoCommands(t *testing.T) {
	p := page(
		"~~~sh",
		"make test && make no-such-target && make demo DEMO_FLAGS=--check && make demo NO_SUCH=1",
		"go run ./examples/thumbnails -all; go run ./examples/none; go test ./docs",
		"~~~", "~~~sh", "cd benchmarks", "go run ./compare; go run ./faults", "cd .. && go run ./faults",
		"~~~", "~~~sh",
		"go run ./compare; go run .; cd shop && go run .",
		"cd docs && go run .", "~~~", "~~~sh",
		"go test ./cache/... ; go test ./cache -run TestNoSuch; go test ./partition -bench '^Bench'",
		"~~~",
	)
	problems, err := docscheck.MakeTargets(root, p.Commands())
	require.NoError(t, err)
	assert.Equal(t, []string{
		"docs/page.md:2: make no-such-target: no such target",
		"docs/page.md:2: make NO_SUCH=1: the Makefile does not read NO_SUCH",
	}, texts(problems))
	assert.Equal(t, []string{
		"docs/page.md:3: go run ./examples/none: there is no examples/none",
		"docs/page.md:3: go test ./docs: no Go file in docs",
		"docs/page.md:8: go run ./faults: there is no faults",
		"docs/page.md:11: go run ./compare: there is no compare",
		"docs/page.md:15: -run TestNoSuch matches nothing",
	}, texts(docscheck.GoTool(root, p.Commands())))
}

func TestGoBlocks(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it may download the modules of benchmarks/")
	}
	problems, err := docscheck.GoBlocks(t.Context(), root, t.TempDir(), []*docscheck.Page{
		example(t, "good.md"), example(t, "bad.md"),
	})
	require.NoError(t, err)
	got := strings.Join(texts(problems), "\n")
	for _, want := range []string{
		`bad.md:4: cannot use "42"`,
		"bad.md:6: undefined: none",
		"bad.md:10: undefined: cache.NoSuchName",
		"bad.md:15: rand can be any of crypto/rand, math/rand, math/rand/v2: make the block a file",
		"bad.md:19: neither a file with a package clause nor a snippet",
		"bad.md:27: ", // vet's error about the verb
	} {
		assert.Contains(t, got, want)
	}
	assert.Len(t, problems, 6, got)
}
