package main

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/audit"
)

// glossary is a plain protoactor actor that knows the words of the package. It gets the parsed files from the index when it starts; who
// asks before they have come is answered then.
type glossary struct {
	files map[string]*audit.File
	words *audit.Glossary
	early []question
}

// termsOf asks for the terms of a file, and is answered with []audit.Term.
type termsOf struct{ path string }

type question struct {
	termsOf
	from *actor.PID
}

// Receive implements actor.Actor.
func (g *glossary) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		ctx.Request(ctx.ActorSystem().NewLocalPID(indexPath), parseAll{})
	case parsedAll:
		g.files = make(map[string]*audit.File, len(m.files))
		for _, f := range m.files {
			g.files[f.Path()] = f
		}
		g.words = audit.NewGlossary(m.files...)
		for _, q := range g.early {
			g.answer(ctx, q)
		}
		g.early = nil
	case termsOf:
		q := question{m, ctx.Sender()}
		if g.words == nil {
			g.early = append(g.early, q)
			ctx.Request(ctx.ActorSystem().NewLocalPID(indexPath), parseAll{}) // the first request may have died with the index
			return
		}
		g.answer(ctx, q)
	}
}

func (g *glossary) answer(ctx actor.Context, q question) {
	if f := g.files[q.path]; f != nil {
		ctx.Send(q.from, g.words.In(f))
	} else {
		ctx.Send(q.from, fmt.Errorf("glossary: no file %q in the input", q.path))
	}
}
