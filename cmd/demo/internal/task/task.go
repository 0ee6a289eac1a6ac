// Package task names the demo's units of work.
//
// A task's id says what it is and what it is about, and nothing of when or by whom it is done:
//
//	summarize:server.go     metrics:server.go     review:server.go
//	drill:poison-1          drill:breaker-7       drill:leaf-3
//
// The same input and the same plan therefore always give the same ids, which is what lets two runs be compared
// and one be verified from the outside.
package task

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Types of task, as they stand in results.jsonl and as the hub routes by them.
const (
	TypeSummarize = "summarize" // a file's documentation in one or two sentences
	TypeMetrics   = "metrics"   // a file's figures
	TypeReview    = "review"    // a file's grade, from its summary and its figures
)

// SummarizeID is the id of the task that summarises the file at path.
func SummarizeID(path string) string { return TypeSummarize + ":" + Subject(path) }

// MetricsID is the id of the task that measures the file at path.
func MetricsID(path string) string { return TypeMetrics + ":" + Subject(path) }

// ReviewID is the id of the task that reviews the file at path.
func ReviewID(path string) string { return TypeReview + ":" + Subject(path) }

// Subject is what an id says of a name that the user has given: the name, but quoted as in Go if it holds what can't be printed, which the hub takes no ids with.
// Different names give different subjects.
func Subject(name string) string {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if strings.HasPrefix(name, `"`) || !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable) {
		return strconv.Quote(name)
	}
	return name
}

// TypeOf tells a task's type from its id, and false for an id this package did not make.
func TypeOf(id string) (string, bool) {
	switch kind, subject, _ := strings.Cut(id, ":"); {
	case subject == "":
		return "", false
	case kind == TypeSummarize, kind == TypeMetrics, kind == TypeReview:
		return kind, true
	}
	if d, _, ok := DrillOf(id); ok {
		return d.Type(), true
	}
	return "", false
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
