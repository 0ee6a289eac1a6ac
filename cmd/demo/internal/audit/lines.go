package audit

import (
	"bytes"
	"go/scanner"
	"go/token"
)

// Lines counts a file's lines. Total is the sum of the other three.
type Lines struct {
	Total   int `json:"total"`
	Code    int `json:"code"`
	Comment int `json:"comment"`
	Blank   int `json:"blank"`
}

type lineKind uint8

const (
	blankLine lineKind = iota
	commentLine
	codeLine // the strongest: a line with code and a comment is code
)

// countLines works on tokens, not on the tree, so that it serves files that do not parse as well.
func countLines(src []byte) Lines {
	total := bytes.Count(src, []byte{'\n'})
	if len(src) > 0 && src[len(src)-1] != '\n' {
		total++
	}
	kinds := make([]lineKind, total+1) // from line 1

	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(src))
	var s scanner.Scanner
	s.Init(file, src, func(token.Position, string) {}, scanner.ScanComments)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			break
		}
		if tok == token.SEMICOLON && lit == "\n" {
			continue // put in by the scanner
		}
		kind := codeLine
		if tok == token.COMMENT {
			kind = commentLine
		}
		first := file.PositionFor(pos, false).Line
		for line := first; line <= first+newlines(lit) && line <= total; line++ {
			kinds[line] = max(kinds[line], kind)
		}
	}

	lines := Lines{Total: total}
	for _, kind := range kinds[1:] {
		switch kind {
		case codeLine:
			lines.Code++
		case commentLine:
			lines.Comment++
		case blankLine:
			lines.Blank++
		}
	}
	return lines
}

func newlines(lit string) int {
	n := 0
	for i := range len(lit) {
		if lit[i] == '\n' {
			n++
		}
	}
	return n
}
