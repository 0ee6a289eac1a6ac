package audit

import (
	"cmp"
	"go/ast"
	"slices"
)

// Bounds of a glossary.
const (
	MaxTerms     = 200 // terms in a glossary
	MaxFileTerms = 5   // terms In names for one file
)

// Term is a word of the package's own vocabulary: an exported name declared at package level, or any type declared there.
type Term struct {
	Name string `json:"name"`
	Uses int    `json:"uses"` // identifiers of this name in the files, the declaration included
}

// Glossary holds the most used terms of a set of files. It is immutable.
type Glossary struct {
	terms []Term // most used first, then by name
	rank  map[string]int
}

// NewGlossary collects the terms that the files declare and counts how often the files use them. It goes by name alone:
// two declarations of one name are one term. The order of the files does not matter.
func NewGlossary(files ...*File) *Glossary {
	declared, uses := map[string]bool{}, map[string]int{}
	for _, f := range files {
		for _, name := range f.declared() {
			declared[name] = true
		}
	}
	for _, f := range files {
		f.idents(func(name string) { uses[name]++ })
	}
	g := &Glossary{rank: map[string]int{}}
	for name := range declared {
		g.terms = append(g.terms, Term{Name: name, Uses: uses[name]})
	}
	slices.SortFunc(g.terms, byUse)
	g.terms = g.terms[:min(len(g.terms), MaxTerms)]
	for i, t := range g.terms {
		g.rank[t.Name] = i
	}
	return g
}

// Terms lists the terms, most used first.
func (g *Glossary) Terms() []Term { return slices.Clone(g.terms) }

// In lists the terms that the file uses most, at most MaxFileTerms; Uses counts the uses in this file. It is never nil.
func (g *Glossary) In(f *File) []Term {
	uses := map[string]int{}
	f.idents(func(name string) {
		if _, ok := g.rank[name]; ok {
			uses[name]++
		}
	})
	terms := make([]Term, 0, len(uses))
	for name, n := range uses {
		terms = append(terms, Term{Name: name, Uses: n})
	}
	slices.SortFunc(terms, byUse)
	return slices.Clip(terms[:min(len(terms), MaxFileTerms)])
}

func byUse(a, b Term) int {
	return cmp.Or(cmp.Compare(b.Uses, a.Uses), cmp.Compare(a.Name, b.Name))
}

// declared lists the names at package level that make terms.
func (f *File) declared() []string {
	if f.tree == nil {
		return nil
	}
	var names []string
	for _, decl := range f.tree.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil && decl.Name.IsExported() {
				names = append(names, decl.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.Name != "_" {
						names = append(names, spec.Name.Name)
					}
				case *ast.ValueSpec:
					for _, ident := range spec.Names {
						if ident.IsExported() {
							names = append(names, ident.Name)
						}
					}
				}
			}
		}
	}
	return names
}

func (f *File) idents(visit func(name string)) {
	if f.tree == nil {
		return
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		if ident, ok := n.(*ast.Ident); ok {
			visit(ident.Name)
		}
		return true
	})
}
