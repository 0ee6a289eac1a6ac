package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// row is one contender's result in one case: medians over the rounds.
type row struct {
	Part    string   `json:"part"`
	Case    string   `json:"case"`
	Peer    string   `json:"peer"`
	Value   float64  `json:"ns"`     // an operation; bytes if Unit says so
	Unit    unit     `json:"unit"`   // ns, or B
	Allocs  *float64 `json:"allocs"` // an operation; nil if they weren't counted
	Ratio   float64  `json:"ratio"`  // to the figure of Against, the median of the ratios within a round
	Against string   `json:"against"`
	Target  *float64 `json:"target,omitempty"` // what Ratio is to be at most
	Met     *bool    `json:"met,omitempty"`
	NoAlloc bool     `json:"-"` // part of the target
}

// allocTolerance is what a measurement may allocate for each operation and still be without allocations: buffers that are made once, and what
// the runtime does beside it.
const allocTolerance = 0.01

func newRow(b benchmark, c contender, against string, figures, baseline []figure) row {
	var values, allocs, ratios []float64
	for i, f := range figures {
		values = append(values, f.value)
		allocs = append(allocs, f.allocs)
		if f.value == 0 {
			ratios = append(ratios, 0) // whatever it's compared with
		} else {
			ratios = append(ratios, f.value/baseline[i].value)
		}
	}
	r := row{Case: b.name, Peer: c.name, Unit: b.unit, Against: against, NoAlloc: c.noAlloc,
		Value: median(values), Ratio: median(ratios)}
	if a := median(allocs); !math.IsNaN(a) {
		r.Allocs = &a
	}
	if c.target != 0 {
		met := r.Ratio <= c.target && (!c.noAlloc || r.Allocs != nil && *r.Allocs <= allocTolerance)
		r.Target, r.Met = &c.target, &met
	}
	return r
}

func printJSON(w io.Writer, rows []row) {
	e := json.NewEncoder(w)
	for _, r := range rows {
		e.Encode(r)
	}
}

func printTable(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "case\tcontender\tfigure\tallocs\tratio\tto\ttarget\t")
	last := ""
	for _, r := range rows {
		title := r.Part + ": " + r.Case
		if title == last {
			title = ""
		} else {
			if last != "" {
				fmt.Fprintln(t, strings.Repeat("\t", 7))
			}
			last = title
		}
		ratio, to := fmt.Sprintf("%.2f", r.Ratio), r.Against
		if r.Peer == r.Against {
			ratio, to = "1", ""
		}
		allocs := ""
		if r.Allocs != nil {
			allocs = fmt.Sprintf("%.2f", *r.Allocs)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", title, r.Peer, r.figure(), allocs, ratio, to, r.verdict())
	}
	t.Flush()
}

func (r row) figure() string {
	if r.Value >= 1000 {
		return fmt.Sprintf("%.0f %s", r.Value, r.Unit)
	}
	return fmt.Sprintf("%.1f %s", r.Value, r.Unit)
}

func (r row) verdict() string {
	if r.Target == nil {
		return ""
	}
	s := fmt.Sprintf("≤ %.2f", *r.Target)
	if r.NoAlloc {
		s += ", 0 allocs"
	}
	if *r.Met {
		return s + ": met"
	}
	return s + ": MISSED"
}
