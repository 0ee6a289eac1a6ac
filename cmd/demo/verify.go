package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/report"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

// checkReport makes the report again from the books and compares.
func checkReport(dir string, run books.Run, records []books.Record) books.Findings {
	finding := func(format string, args ...any) books.Findings {
		return books.Findings{{ID: reportFile, Kind: books.KindFigure, Detail: fmt.Sprintf(format, args...)}}
	}
	page, err := report.New(run, records)
	if err != nil {
		return finding("can't be made from the results: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, reportFile))
	if err != nil {
		return finding("%v", err)
	}
	if !bytes.Equal(text, page.Markdown()) {
		return finding("isn't what the results yield")
	}
	return nil
}

// verify is the verify command: it recomputes everything that the folder of a run claims.
func verify(ctx context.Context, c *cli.Command) error {
	if c.Args().Len() != 1 {
		return errors.New("verify takes one folder, that of a run: demo verify DIR")
	}
	if isBatchFolder(c.Args().First()) {
		return verifyBatch(c.Args().First(), c.Root().Writer)
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
	findings = append(findings, checkReport(c.Args().First(), run, records)...)
	ofSummary, seen, notOwed := checkSummary(c.Args().First(), run, records)
	findings = append(findings, ofSummary...)
	return verdict(c.Root().Writer, findings, fmt.Sprintf("verified: %d tasks on %d files of %s, each settled once, every figure recomputed%s\n",
		len(records), len(in.Files), run.Input, ofMechanisms(seen, notOwed)))
}

// verdict prints the findings, or, if there are none, that all is well.
func verdict(out io.Writer, findings books.Findings, well string) error {
	if len(findings) == 0 {
		return printTo(out, well)
	}
	var text strings.Builder
	for _, f := range findings {
		fmt.Fprintln(&text, f)
	}
	if err := printTo(out, text.String()); err != nil {
		return err
	}
	return exitError{fmt.Errorf("%d findings: the results are not what the input yields", len(findings)), summary.ExitBroken}
}

// ofMechanisms says how many were seen, if any were planned.
func ofMechanisms(seen, notOwed int) string {
	if seen+notOwed == 0 {
		return ""
	}
	text := fmt.Sprintf("; %d of %d mechanisms seen", seen, seen+notOwed)
	if notOwed > 0 {
		text += fmt.Sprintf(", an earlier process of the run had begun with the other %d", notOwed)
	}
	return text
}
