// Package task names the demo's units of work.
//
// A task's id says what it is and what it is about, and nothing of when or by whom it is done:
//
//	summarize:server.go     metrics:server.go     review:server.go
//	drill:poison-1          drill:breaker-7
//
// The same input and the same plan therefore always give the same ids, which is what lets two runs be compared
// and one be verified from the outside.
package task

import (
	"slices"
	"strconv"
	"strings"
)

// Types of task, as they stand in results.jsonl and as the hub routes by them.
const (
	TypeSummarize = "summarize"     // a file's documentation in one or two sentences
	TypeMetrics   = "metrics"       // a file's figures
	TypeReview    = "review"        // a file's grade, from its summary and its figures
	TypePoison    = "drill.poison"  // crashes every agent that touches it
	TypeBreaker   = "drill.breaker" // one call of a burst that opens the drill's breaker
)

const (
	drill         = "drill:"
	poisonPrefix  = drill + "poison-"
	breakerPrefix = drill + "breaker-"
)

// SummarizeID is the id of the task that summarises the file at path.
func SummarizeID(path string) string { return TypeSummarize + ":" + path }

// MetricsID is the id of the task that measures the file at path.
func MetricsID(path string) string { return TypeMetrics + ":" + path }

// ReviewID is the id of the task that reviews the file at path.
func ReviewID(path string) string { return TypeReview + ":" + path }

// PoisonID is the id of the n-th poison drill, counted from 1.
func PoisonID(n int) string { return poisonPrefix + strconv.Itoa(n) }

// BreakerID is the id of the n-th call of the breaker drill, counted from 1.
func BreakerID(n int) string { return breakerPrefix + strconv.Itoa(n) }

// TypeOf tells a task's type from its id, and false for an id this package did not make.
func TypeOf(id string) (string, bool) {
	switch kind, subject, _ := strings.Cut(id, ":"); {
	case subject == "":
		return "", false
	case kind == TypeSummarize, kind == TypeMetrics, kind == TypeReview:
		return kind, true
	case numbered(id, poisonPrefix):
		return TypePoison, true
	case numbered(id, breakerPrefix):
		return TypeBreaker, true
	default:
		return "", false
	}
}

// Path is the file a summarize, metrics or review task is about, and "" for a drill.
func Path(id string) string {
	kind, path, _ := strings.Cut(id, ":")
	switch kind {
	case TypeSummarize, TypeMetrics, TypeReview:
		return path
	default:
		return ""
	}
}

// IsDrill tells drill tasks, which are kept out of the report, from the files' tasks.
func IsDrill(id string) bool { return strings.HasPrefix(id, drill) }

// DrillKey names the drill an id belongs to: the calls of one burst share one key (drill:breaker).
func DrillKey(id string) string {
	if i := strings.LastIndexByte(id, '-'); i > 0 {
		return id[:i]
	}
	return id
}

// ForFiles lists the ids of all tasks the files at paths give rise to, sorted.
func ForFiles(paths []string) []string {
	ids := make([]string, 0, 3*len(paths))
	for _, path := range paths {
		ids = append(ids, SummarizeID(path), MetricsID(path), ReviewID(path))
	}
	slices.Sort(ids)
	return ids
}

// DrillResult is what a drill task leaves in the books when it is done. A quarantined drill leaves nothing.
type DrillResult struct {
	Answer string `json:"answer"` // what the embedded model answered to DrillPrompt
}

// DrillPrompt is what a breaker drill asks the embedded model.
func DrillPrompt(id string) string {
	return "Answer the drill.\n\nDocumentation:\n\nThe call " + id + " got through the breaker."
}

func numbered(id, prefix string) bool {
	digits, ok := strings.CutPrefix(id, prefix)
	if !ok {
		return false
	}
	n, err := strconv.Atoi(digits)
	return err == nil && n > 0 && strconv.Itoa(n) == digits
}
