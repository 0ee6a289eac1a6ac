package audit

import (
	"cmp"
	"go/ast"
	"go/token"
	"slices"
)

// Top is how many functions Metrics names in each of its lists.
const Top = 10

// Metrics are the figures of one file. The package comment says what each of them counts.
type Metrics struct {
	Path         string     `json:"path"`
	Package      string     `json:"package,omitempty"`
	Fault        string     `json:"fault,omitempty"` // "does not parse: …"; then only Path and Lines are meant
	Lines        Lines      `json:"lines"`
	Functions    int        `json:"functions"`
	Complexity   Complexity `json:"complexity"`
	Longest      []Func     `json:"longest"` // at most Top, longest first, then by line
	Worst        []Func     `json:"worst"`   // at most Top, most complex first, then by line
	Exported     int        `json:"exported"`
	Undocumented []Name     `json:"undocumented"` // by line, then by name
}

// Complexity sums up the cyclomatic complexity of a file's functions.
type Complexity struct {
	Total int `json:"total"`
	Max   int `json:"max"`
}

// Func is one function with its figures.
type Func struct {
	Name       string `json:"name"` // Get, Header.Get, (*Server).Serve
	Line       int    `json:"line"`
	Lines      int    `json:"lines"`
	Complexity int    `json:"complexity"`
}

// Name is one exported name.
type Name struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // func, method, type, const or var
	Line int    `json:"line"`
}

// Measure computes a file's figures.
func Measure(f *File) Metrics {
	m := Metrics{
		Path: f.path, Package: f.Package(), Fault: f.fault,
		Lines: countLines(f.src), Longest: []Func{}, Worst: []Func{}, Undocumented: []Name{},
	}
	var funcs []Func
	for _, decl := range f.functions() {
		fn := Func{
			Name:       funcName(decl),
			Line:       f.line(decl.Pos()),
			Lines:      f.line(decl.End()) - f.line(decl.Pos()) + 1,
			Complexity: complexity(decl),
		}
		funcs = append(funcs, fn)
		m.Complexity.Total += fn.Complexity
		m.Complexity.Max = max(m.Complexity.Max, fn.Complexity)
	}
	m.Functions = len(funcs)
	m.Longest = top(funcs, func(fn Func) int { return fn.Lines })
	m.Worst = top(funcs, func(fn Func) int { return fn.Complexity })
	for _, name := range f.exported() {
		m.Exported++
		if !name.documented {
			m.Undocumented = append(m.Undocumented, name.Name)
		}
	}
	slices.SortFunc(m.Undocumented, func(a, b Name) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name))
	})
	return m
}

// top lists the functions with the highest figure. Functions come in the order of their lines, and stay so among equals.
func top(funcs []Func, figure func(Func) int) []Func {
	ranked := append([]Func{}, funcs...)
	slices.SortStableFunc(ranked, func(a, b Func) int { return cmp.Compare(figure(b), figure(a)) })
	return ranked[:min(Top, len(ranked)):min(Top, len(ranked))]
}

// complexity is McCabe's number for one function, the literals inside it included.
func complexity(fn *ast.FuncDecl) int {
	n := 1
	ast.Inspect(fn, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if node.List != nil {
				n++
			}
		case *ast.CommClause:
			if node.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if node.Op == token.LAND || node.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

type exportedName struct {
	Name
	documented bool
}

// exported lists the file's exported names in the order of the file.
func (f *File) exported() []exportedName {
	if f.tree == nil {
		return nil
	}
	var names []exportedName
	add := func(ident *ast.Ident, name, kind string, docs ...*ast.CommentGroup) {
		documented := slices.ContainsFunc(docs, func(g *ast.CommentGroup) bool { return g.Text() != "" })
		names = append(names, exportedName{Name{Name: name, Kind: kind, Line: f.line(ident.Pos())}, documented})
	}
	for _, decl := range f.tree.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			kind := "func"
			if base, _ := receiver(decl); base != "" {
				if !ast.IsExported(base) {
					continue
				}
				kind = "method"
			}
			if decl.Name.IsExported() {
				add(decl.Name, funcName(decl), kind, decl.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() {
						add(spec.Name, spec.Name.Name, "type", decl.Doc, spec.Doc, spec.Comment)
					}
				case *ast.ValueSpec:
					for _, ident := range spec.Names {
						if ident.IsExported() {
							add(ident, ident.Name, decl.Tok.String(), decl.Doc, spec.Doc, spec.Comment)
						}
					}
				}
			}
		}
	}
	return names
}
