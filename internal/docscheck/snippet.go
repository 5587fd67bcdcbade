package docscheck

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// lineMark marks the beginning of the snippet in a wrapped one.
const lineMark = "//docscheck:line"

// wrap returns a Go file with the snippet. Its declarations join the package of the page's file.
// Its statements become a function of that package, which has a context.Context called ctx and, if
// the snippet returns a value, an error as its result. wrap adds imports of packages of the
// standard library and of this module by their names, and uses of unused variables. If it fails,
// wrong is the reason.
func (w *writer) wrap(text string) (source, wrong string) {
	head := "package " + w.file.pkg + "\n"
	source = head + lineMark + "\n" + text
	f, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	if err == nil {
		w.file.declare(source)
	} else {
		// The snippet has no declarations, so it has statements.
		if source, f, err = function(head, text); err != nil {
			return "", err.Error()
		}
	}
	var imports []string
	for _, id := range unresolved(f) {
		paths := w.imports[id]
		switch {
		case w.file.declared[id] || len(paths) == 0:
		case len(paths) > 1:
			return "", fmt.Sprintf("%s can be any of %s: make the block a file that imports one",
				id, strings.Join(paths, ", "))
		default:
			imports = append(imports, fmt.Sprintf("import %q\n", paths[0]))
		}
	}
	return strings.Replace(source, head, head+strings.Join(imports, ""), 1), ""
}

// function returns a Go file with the statements as a function.
func function(head, text string) (string, *ast.File, error) {
	result, end := "", ""
	body := func() string {
		return fmt.Sprintf("%sfunc _(ctx context.Context)%s {\n%s\n%s%s\n}\n",
			head, result, lineMark, text, end)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "", body(), 0)
	if err != nil {
		return "", nil, fmt.Errorf("neither a file with a package clause nor a snippet: %w", err)
	}
	wrapper, ok := f.Decls[len(f.Decls)-1].(*ast.FuncDecl)
	if !ok || wrapper.Name.Name != "_" {
		return "", nil, errors.New("the snippet ends the function that it is put into")
	}
	block := wrapper.Body
	ended := false // code after it would be unreachable for vet
	if n := len(block.List); n > 0 {
		_, ended = block.List[n-1].(*ast.ReturnStmt)
	}
	if returns(block) {
		result = " error"
		if !ended {
			end = "return nil"
		}
	}
	if !ended {
		for _, name := range variables(block) {
			end = "_ = " + name + "\n" + end
		}
	}
	return body(), f, nil
}

// returns reports whether a function with this body returns a value.
func returns(body *ast.BlockStmt) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			found = found || len(n.Results) > 0
		}
		return true
	})
	return found
}

// variables returns the names that body declares at its top level.
func variables(body *ast.BlockStmt) []string {
	var names []string
	add := func(id *ast.Ident) {
		if id.Name != "_" && !slices.Contains(names, id.Name) {
			names = append(names, id.Name)
		}
	}
	for _, s := range body.List {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				continue
			}
			for _, e := range s.Lhs {
				if id, ok := e.(*ast.Ident); ok {
					add(id)
				}
			}
		case *ast.DeclStmt:
			if d, ok := s.Decl.(*ast.GenDecl); ok && d.Tok == token.VAR {
				for _, spec := range d.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok {
						for _, id := range v.Names {
							add(id)
						}
					}
				}
			}
		}
	}
	return names
}

// unresolved returns the names that f uses like packages and does not declare.
func unresolved(f *ast.File) []string {
	free := make(map[*ast.Ident]bool)
	for _, id := range f.Unresolved {
		free[id] = true
	}
	var names []string
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := s.X.(*ast.Ident); ok && free[id] && !slices.Contains(names, id.Name) {
				names = append(names, id.Name)
			}
		}
		return true
	})
	return names
}

// declare records the names that a file declares for its package.
func (f *file) declare(text string) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "", text, 0)
	if err != nil {
		return // the compiler will report it
	}
	for _, d := range parsed.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			f.declared[d.Name.Name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, id := range spec.Names {
						f.declared[id.Name] = true
					}
				case *ast.TypeSpec:
					f.declared[spec.Name.Name] = true
				}
			}
		}
	}
}
