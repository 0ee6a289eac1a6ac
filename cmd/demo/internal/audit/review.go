package audit

import (
	"fmt"
	"strings"
)

// Review is the verdict on one file.
type Review struct {
	Path     string   `json:"path"`
	Grade    string   `json:"grade"`  // A, the best, to E
	Points   int      `json:"points"` // what the findings cost together
	Summary  string   `json:"summary"`
	Findings []string `json:"findings"` // one for each measure that cost points
	Terms    []string `json:"terms"`    // what the file is about, from the glossary
}

// measures are the figures that cost points, and what they cost: one point for each of the limits that is exceeded.
//
//	measure                                  1 point   2     3
//	complexity of the worst function         > 10      > 20  > 40
//	lines of the longest function            > 60      > 120 > 240
//	undocumented part of exported names, %   > 0       > 25  > 50
//	lines of code                            > 1000    > 3000
var measures = []struct {
	limits []int
	figure func(Metrics) int
	say    func(Metrics) string
}{
	{
		limits: []int{10, 20, 40},
		figure: func(m Metrics) int {
			if len(m.Worst) == 0 {
				return 0
			}
			return m.Worst[0].Complexity
		},
		say: func(m Metrics) string {
			worst := m.Worst[0]
			return fmt.Sprintf("%s (line %d) has a complexity of %d", worst.Name, worst.Line, worst.Complexity)
		},
	},
	{
		limits: []int{60, 120, 240},
		figure: func(m Metrics) int {
			if len(m.Longest) == 0 {
				return 0
			}
			return m.Longest[0].Lines
		},
		say: func(m Metrics) string {
			longest := m.Longest[0]
			return fmt.Sprintf("%s (line %d) is %d lines long", longest.Name, longest.Line, longest.Lines)
		},
	},
	{
		limits: []int{0, 25, 50},
		figure: func(m Metrics) int {
			if m.Exported == 0 {
				return 0
			}
			return (100*len(m.Undocumented) + m.Exported - 1) / m.Exported // rounded up: one in a thousand is not none
		},
		say: func(m Metrics) string {
			names := make([]string, len(m.Undocumented))
			for i, n := range m.Undocumented {
				names[i] = n.Name
			}
			return fmt.Sprintf("%d of %s undocumented: %s", len(m.Undocumented), count(m.Exported, "exported name is", "exported names are"), list(names, 5))
		},
	},
	{
		limits: []int{1000, 3000},
		figure: func(m Metrics) int { return m.Lines.Code },
		say:    func(m Metrics) string { return fmt.Sprintf("%d lines of code in one file", m.Lines.Code) },
	},
}

// gradeFor is A for no points, B up to 2, C up to 4, D up to 6, E beyond.
func gradeFor(points int) string {
	switch {
	case points == 0:
		return "A"
	case points <= 2:
		return "B"
	case points <= 4:
		return "C"
	case points <= 6:
		return "D"
	default:
		return "E"
	}
}

// Assess combines a file's summary, its figures and its terms into a verdict. A file that does not parse is an E.
func Assess(s Summary, m Metrics, terms []Term) Review {
	r := Review{Path: m.Path, Summary: strings.Join(strings.Fields(s.Text), " "), Findings: []string{}, Terms: []string{}}
	for _, t := range terms {
		r.Terms = append(r.Terms, t.Name)
	}
	if m.Fault != "" {
		r.Grade, r.Findings = "E", append(r.Findings, m.Fault)
		return r
	}
	for _, measure := range measures {
		points, figure := 0, measure.figure(m)
		for _, limit := range measure.limits {
			if figure > limit {
				points++
			}
		}
		if points > 0 {
			r.Points += points
			r.Findings = append(r.Findings, measure.say(m))
		}
	}
	r.Grade = gradeFor(r.Points)
	return r
}
