package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

// verify is the verify command: it recomputes everything that the folder of a run claims.
func verify(ctx context.Context, c *cli.Command) error {
	if c.Args().Len() != 1 {
		return errors.New("verify takes one folder, that of a run: demo verify DIR")
	}
	run, records, findings, err := books.Read(c.Args().First())
	if err != nil {
		return err
	}
	in, err := source.Open(ctx, run.Reopen())
	if err != nil {
		return fmt.Errorf("the input of the run can't be opened again: %w", err)
	}
	findings = append(findings, books.Verify(run, in, records)...)
	out := c.Root().Writer
	if len(findings) == 0 {
		_, err := fmt.Fprintf(out, "verified: %d tasks on %d files of %s, each settled once, every figure recomputed\n", len(records), len(in.Files), run.Input)
		return err
	}
	for _, f := range findings {
		if _, err := fmt.Fprintln(out, f); err != nil {
			return err
		}
	}
	return exitError{fmt.Errorf("%d findings: the results are not what the input yields", len(findings)), summary.ExitBroken}
}
