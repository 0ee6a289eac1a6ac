package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/urfave/cli/v3"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/batch"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
)

// formats are the forms in which the tree is printed.
var formats = map[string]func(actors.NodeSnapshot, io.Writer) error{
	"text":    actors.NodeSnapshot.WriteText,
	"dot":     actors.NodeSnapshot.WriteDOT,
	"mermaid": actors.NodeSnapshot.WriteMermaid,
	"json":    actors.NodeSnapshot.WriteJSON,
}

// asciiFormats are those that differ if only ASCII is wanted. Graphs still show the same: they have numbers for other characters.
var asciiFormats = map[string]func(actors.NodeSnapshot, io.Writer) error{
	"text":    actors.NodeSnapshot.WriteASCII,
	"dot":     numbered(actors.NodeSnapshot.WriteDOT, "&#%d;"),
	"mermaid": numbered(actors.NodeSnapshot.WriteMermaid, "#%d;"),
}

// numbered writes what isn't ASCII in a form by its number.
func numbered(write func(actors.NodeSnapshot, io.Writer) error, number string) func(actors.NodeSnapshot, io.Writer) error {
	return func(picture actors.NodeSnapshot, w io.Writer) error {
		var text strings.Builder
		if err := write(picture, &text); err != nil {
			return err
		}
		var plain strings.Builder
		for _, r := range text.String() {
			if r > unicode.MaxASCII {
				fmt.Fprintf(&plain, number, r)
			} else {
				plain.WriteRune(r)
			}
		}
		_, err := io.WriteString(w, plain.String())
		return err
	}
}

func treeFlags() []cli.Flag {
	return append(jobFlags(), &cli.StringFlag{Name: "format", Value: "text", Usage: "text, dot, mermaid or json", Local: true}, asciiFlag())
}

// printTree is the tree command: it prints the tree of the job that the same flags would run, without running it.
func printTree(ctx context.Context, c *cli.Command) error {
	cfg, err := readConfig(c, os.Getenv)
	if err != nil {
		return err
	}
	write, ok := formats[c.String("format")]
	if !ok {
		return fmt.Errorf("--format is %q, must be text, dot, mermaid or json", c.String("format"))
	}
	if plain, differs := asciiFormats[c.String("format")]; cfg.ascii && differs {
		write = plain
	}
	spec, err := plannedTree(ctx, cfg)
	if err != nil {
		return err
	}
	picture, err := actors.Describe(spec)
	if err != nil {
		return exitError{err, 1}
	}
	var text strings.Builder
	if err := write(picture, &text); err != nil {
		return err
	}
	return printTo(c.Root().Writer, text.String())
}

// plannedTree is the tree that would run.
func plannedTree(ctx context.Context, cfg config) (actors.Supervisor, error) {
	plan := chaos.Plan{Seed: cfg.seed, Level: cfg.chaos}
	if isBatch(cfg.input) {
		file, err := batch.Read(cfg.input)
		if err != nil {
			return actors.Supervisor{}, err
		}
		return newBatchTree(&batchCrew{crew: crew{plan: plan}, file: file}, cfg.workers), nil
	}
	in, err := source.Open(ctx, cfg.input)
	if err != nil {
		return actors.Supervisor{}, err
	}
	crew := &crew{plan: plan}
	return newTree(crew, in, cfg.workers, countPlanned(plan, in), newDrills(plan.Drills(), crew)), nil
}
