package main

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/audit"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
)

// index is a plain protoactor actor that parses files when they are asked for, each once in its life, and keeps them.
type index struct {
	files  map[string]source.File
	parsed map[string]*audit.File
}

// Requests to the index.
type (
	parse    struct{ path string } // answered with an *audit.File
	parseAll struct{}              // answered with a parsedAll
)

type parsedAll struct{ files []*audit.File }

func newIndex(in *source.Input) actor.Producer {
	files := make(map[string]source.File, len(in.Files))
	for _, f := range in.Files {
		files[f.Path] = f
	}
	return func() actor.Actor { return &index{files: files, parsed: make(map[string]*audit.File)} }
}

// Receive implements actor.Actor.
func (x *index) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case parse:
		if file, err := x.file(m.path); err != nil {
			ctx.Respond(err)
		} else {
			ctx.Respond(file)
		}
	case parseAll:
		var all parsedAll
		for path := range x.files {
			file, _ := x.file(path) // it is there
			all.files = append(all.files, file)
		}
		ctx.Respond(all)
	}
}

func (x *index) file(path string) (*audit.File, error) {
	if file := x.parsed[path]; file != nil {
		return file, nil
	}
	f, ok := x.files[path]
	if !ok {
		return nil, fmt.Errorf("index: no file %q in the input", path)
	}
	file := audit.Parse(f.Path, f.Data)
	x.parsed[path] = file
	return file, nil
}
