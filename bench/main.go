// Command bench measures MisterSmith side by side with others that do the same, and prints a table of medians and ratios.
//
//	go run . [-only supervision] [-case ask] [-rounds 5] [-full] [-json]
//
// Everything runs in one process, in rounds. A round takes every case once, in random order, and within a case every contender once,
// in random order. A ratio is taken within a round, between two figures that were measured moments apart, and the median over the rounds is
// printed: on a busy machine figures wander, ratios much less. The first round warms up and isn't counted.
//
// Two things that have nothing to do with the contenders can move every ratio by a factor of 2 to 5, so they are fixed:
//
//   - A crowd of parked goroutines is always there. See [crowd].
//   - Whoever logs, logs to a handler that discards before anything is formatted.
//
// It is a module of its own, so that the contenders are no dependencies of the library.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

// part is a part of the library with its cases. Each has a file of its own name.
type part struct {
	name string
	// begin prepares the cases. What can't be run here is left out, and said in the notes.
	begin func(size) (cases []benchmark, notes []string, end func())
}

var parts = []part{supervision, circuitBreaker, taskRouting}

func main() {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	only := flag.String("only", "", "run one part: "+strings.Join(names, ", "))
	fragment := flag.String("case", "", "run the cases whose name contains this")
	rounds := flag.Int("rounds", 5, "counted rounds")
	full := flag.Bool("full", false, "the largest sizes: takes several times as long")
	asJSON := flag.Bool("json", false, "print one object a row instead of a table")
	flag.Parse()

	chosen := choose(*only)
	if len(chosen) == 0 || *rounds < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	defer crowd()()
	var rows []row
	for _, p := range chosen {
		cases, notes, end := p.begin(size{*full})
		cases = named(cases, *fragment)
		for _, r := range measure(cases, *rounds) {
			r.Part = p.name
			rows = append(rows, r)
		}
		end()
		for _, n := range notes {
			fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, n)
		}
	}
	if *asJSON {
		printJSON(os.Stdout, rows)
	} else {
		printTable(os.Stdout, rows)
	}
}

// choose returns the part with that name, or all for none.
func choose(name string) []part {
	var chosen []part
	for _, p := range parts {
		if name == "" || name == p.name {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

func named(cases []benchmark, fragment string) []benchmark {
	var kept []benchmark
	for _, c := range cases {
		if strings.Contains(c.name, fragment) {
			kept = append(kept, c)
		}
	}
	return kept
}

// size picks how much work a measurement does.
type size struct{ full bool }

func (s size) of(quick, full int) int {
	if s.full {
		return full
	}
	return quick
}
