// Package audit measures and reviews Go files. It is made of pure functions: the same bytes always give the same
// figures, which anyone can recompute.
//
//	file := audit.Parse("server.go", data)
//	metrics := audit.Measure(file)               // lines, functions, complexity, undocumented exports
//	doc := audit.Document(file)                  // the documentation, for a language model to summarise
//	glossary := audit.NewGlossary(files...)      // the words the package is about
//	review := audit.Assess(summary, metrics, glossary.In(file))
//
// # What is counted
//
// Lines: a line is code if a token other than a comment lies on it, even in part (so every line of a raw string is
// code), else comment if a comment lies on it (blank-looking lines inside a block comment included), else blank.
// Every line is one of the three. A last line without a newline counts; an empty one after the last newline doesn't.
//
// Functions: declared functions and methods. A function literal belongs to the declaration around it; one at package
// level, outside any function, is counted nowhere. A function's lines go from the word func to its closing brace.
//
// Cyclomatic complexity: 1, plus 1 for each if, for, range, case of a switch or select (default clauses are free), && and ||.
//
// Exported names: functions, methods of exported types, types, constants and variables, in package main as in any other.
// One is documented if it has a doc comment or a comment at the end of its line, or stands in a group that has a doc
// comment. Fields and methods of interfaces are not counted.
//
// A file that does not parse has lines and a reason, and no other figures.
package audit

import (
	"go/ast"
	"go/parser"
	"go/token"
)

// File is a parsed Go file. It is not changed after Parse, so any number of goroutines may read it.
type File struct {
	path  string
	src   []byte
	fset  *token.FileSet
	tree  *ast.File // nil if the file does not parse
	fault string    // why it does not parse
}

// Parse reads a file. It never fails: a file that is not valid Go is one that says so, see Fault.
// path is only a name; src must not be changed afterwards.
func Parse(path string, src []byte) *File {
	f := &File{path: path, src: src, fset: token.NewFileSet()}
	tree, err := parser.ParseFile(f.fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		f.fault = "does not parse: " + err.Error()
		return f
	}
	f.tree = tree
	return f
}

// Path is the name the file was parsed under.
func (f *File) Path() string { return f.path }

// Fault says why the file does not parse ("does not parse: …"), and is empty if it does.
func (f *File) Fault() string { return f.fault }

// Package is the name in the package clause, empty if the file does not parse.
func (f *File) Package() string {
	if f.tree == nil {
		return ""
	}
	return f.tree.Name.Name
}

// line is the line of a position in the file itself, whatever //line directives say.
func (f *File) line(pos token.Pos) int { return f.fset.PositionFor(pos, false).Line }

// functions lists the declared functions and methods in the order of the file.
func (f *File) functions() []*ast.FuncDecl {
	if f.tree == nil {
		return nil
	}
	var fns []*ast.FuncDecl
	for _, d := range f.tree.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			fns = append(fns, fn)
		}
	}
	return fns
}

// funcName is a function's name as "go doc" writes it: Get, Header.Get, (*Server).Serve.
func funcName(fn *ast.FuncDecl) string {
	base, pointer := receiver(fn)
	switch {
	case base == "":
		return fn.Name.Name
	case pointer:
		return "(*" + base + ")." + fn.Name.Name
	default:
		return base + "." + fn.Name.Name
	}
}

// receiver is the name of the type a method belongs to, empty for a function.
func receiver(fn *ast.FuncDecl) (base string, pointer bool) {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return "", false
	}
	for expr := fn.Recv.List[0].Type; ; {
		switch t := expr.(type) {
		case *ast.StarExpr:
			expr, pointer = t.X, true
		case *ast.ParenExpr:
			expr = t.X
		case *ast.IndexExpr:
			expr = t.X
		case *ast.IndexListExpr:
			expr = t.X
		case *ast.Ident:
			return t.Name, pointer
		default:
			return "?", pointer
		}
	}
}
