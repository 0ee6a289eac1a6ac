// Command demo audits Go source with a supervised system of agents while things fail, and proves that nothing was lost.
//
//	go run ./cmd/demo                              # the standard library's net/http
//	go run ./cmd/demo --input ../project --out audit
//	go run ./cmd/demo verify audit
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

func main() {
	os.Exit(execute(os.Args, os.Stdout, os.Stderr))
}

// exitError is an error with the exit code it means. Without one it is a usage or input error.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

// printTo prints what a command has to say. That it can't be is no wrong use.
func printTo(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return exitError{fmt.Errorf("cannot print: %w", err), summary.ExitBroken}
	}
	return nil
}

// execute runs the command line and returns the exit code. An error is at most three lines.
func execute(args []string, stdout, stderr io.Writer) int {
	err := commandLine(stdout, stderr).Run(context.Background(), args)
	if err == nil {
		return summary.ExitOK
	}
	code := summary.ExitUsage
	var exit exitError
	if errors.As(err, &exit) {
		code, err = exit.code, exit.error
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
		if len(lines) > 3 {
			lines = append(lines[:2], fmt.Sprintf("… and %d more", len(lines)-2))
		}
		fmt.Fprintln(stderr, "demo: "+strings.Join(lines, "\n      "))
	}
	return code
}
