package audit

import (
	"fmt"
	"go/ast"
	"go/doc/comment"
	"strings"
	"unicode/utf8"
)

// Bounds of what goes to a model.
const (
	MaxText      = 6_000 // bytes of Doc.Text
	maxParagraph = 600   // bytes of one paragraph in it
	packageParas = 3     // paragraphs of the package comment in it
	maxListed    = 12    // declarations named for a file without documentation
)

// Doc is what a model is asked to summarise: a file's documentation.
type Doc struct {
	Path    string `json:"path"`
	Package string `json:"package,omitempty"`
	// Text holds the first paragraphs of the package comment, then the first paragraph of the doc comment of each
	// exported declaration in the order of the file, each on one line, with a blank line between them. A file that has
	// neither is described by the doc comments of its other declarations, and one without any by their names. It is
	// never empty and has at most MaxText bytes.
	Text string `json:"text"`
}

// Summary is what a model made of a Doc.
type Summary struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Document extracts a file's documentation.
func Document(f *File) Doc {
	d := Doc{Path: f.path, Package: f.Package()}
	var text strings.Builder
	add := func(paragraph string) {
		if paragraph = shorten(paragraph, maxParagraph); paragraph == "" || text.Len()+len(paragraph)+2 > MaxText {
			return
		}
		if text.Len() > 0 {
			text.WriteString("\n\n")
		}
		text.WriteString(paragraph)
	}
	if f.tree == nil {
		add(fmt.Sprintf("The file %s is not valid Go, it %s.", f.path, f.fault))
	} else {
		for _, p := range paragraphs(f.tree.Doc, packageParas) {
			add(p)
		}
		addDocs := func(groups []*ast.CommentGroup) {
			for _, group := range groups {
				for _, p := range paragraphs(group, 1) {
					add(p)
				}
			}
		}
		addDocs(f.docs(ast.IsExported))
		if text.Len() == 0 {
			addDocs(f.docs(func(string) bool { return true }))
		}
	}
	if text.Len() == 0 {
		add(f.inventory())
	}
	d.Text = text.String()
	return d
}

// Prompt asks for a summary of d. The documentation follows a line that says so.
func Prompt(d Doc) string {
	pkg := ""
	if d.Package != "" {
		pkg = " of the Go package " + d.Package
	}
	return fmt.Sprintf("Summarise in at most two plain sentences what the file %s%s is for. "+
		"Use the documentation below and nothing else. Answer with the sentences alone.\n\nDocumentation:\n\n%s", d.Path, pkg, d.Text)
}

// docs lists the doc comments of the declarations whose names are wanted, each once, in the order of the file. A method
// is wanted if its type is as well.
func (f *File) docs(wanted func(name string) bool) []*ast.CommentGroup {
	var groups []*ast.CommentGroup
	for _, decl := range f.tree.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if base, _ := receiver(decl); wanted(decl.Name.Name) && (base == "" || wanted(base)) {
				groups = append(groups, decl.Doc)
			}
		case *ast.GenDecl:
			var specs []*ast.CommentGroup
			some := false
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if wanted(spec.Name.Name) {
						some, specs = true, append(specs, spec.Doc)
					}
				case *ast.ValueSpec:
					for _, ident := range spec.Names {
						if wanted(ident.Name) {
							some, specs = true, append(specs, spec.Doc)
							break
						}
					}
				}
			}
			if some {
				groups = append(append(groups, decl.Doc), specs...)
			}
		}
	}
	return groups
}

// inventory is a sentence for each kind of declaration in the file.
func (f *File) inventory() string {
	var funcs, types, values []string
	for _, decl := range f.tree.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			funcs = append(funcs, funcName(decl))
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					types = append(types, spec.Name.Name)
				case *ast.ValueSpec:
					for _, ident := range spec.Names {
						values = append(values, ident.Name)
					}
				}
			}
		}
	}
	parts := []string{}
	for _, kind := range []struct {
		one, many string
		names     []string
	}{{"type", "types", types}, {"function", "functions", funcs}, {"value", "values", values}} {
		if len(kind.names) > 0 {
			parts = append(parts, count(len(kind.names), kind.one, kind.many)+" ("+list(kind.names, maxListed)+")")
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("The file %s of package %s declares nothing.", f.path, f.Package())
	}
	return fmt.Sprintf("The file %s of package %s has no documentation and declares %s.", f.path, f.Package(), strings.Join(parts, ", "))
}

// paragraphs are the first n paragraphs of prose in a comment, each on one line; headings, lists and code are left out.
func paragraphs(group *ast.CommentGroup, n int) []string {
	parser := comment.Parser{LookupSym: func(string, string) bool { return true }} // [Name] is a link, whoever declares it
	var texts []string
	for _, block := range parser.Parse(group.Text()).Content {
		paragraph, ok := block.(*comment.Paragraph)
		if !ok {
			continue
		}
		if len(texts) == n {
			break
		}
		var text strings.Builder
		flatten(&text, paragraph.Text)
		texts = append(texts, strings.Join(strings.Fields(text.String()), " "))
	}
	return texts
}

func flatten(to *strings.Builder, texts []comment.Text) {
	for _, t := range texts {
		switch t := t.(type) {
		case comment.Plain:
			to.WriteString(string(t))
		case comment.Italic:
			to.WriteString(string(t))
		case *comment.Link:
			flatten(to, t.Text)
		case *comment.DocLink:
			flatten(to, t.Text)
		}
	}
}

// shorten cuts text at the last word, else the last rune, that ends within limit bytes.
func shorten(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	end := limit - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	if word := strings.LastIndexByte(text[:end], ' '); word > end/2 {
		end = word
	}
	return text[:end] + "…"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// list joins at most limit names and counts the rest.
func list(names []string, limit int) string {
	if rest := len(names) - limit; rest > 0 {
		return strings.Join(names[:limit], ", ") + fmt.Sprintf(" and %d more", rest)
	}
	return strings.Join(names, ", ")
}
