// Package batch reads files of work, one JSON object a line, and writes what comes of each line.
//
// There are two forms, and a file tells by itself which it has:
//
//	{"id":"a","type":"summarize","input":{"path":"a.go","text":"package a …"}}
//	{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[…]}}
//
// The second is that of OpenAI's Batch API, and so is what is written for it: [OutputFile] has the requests that were
// answered, [ErrorsFile] the others, each in the order of the input. The first form's results are kept apart likewise.
//
//	file, err := batch.Read("work.jsonl")        // err names every faulty line, in three lines at most
//	err = batch.Write(dir, run, file, outcomes)
//	report, err := batch.Verify(dir)             // recomputes whatever can be
//
// Nothing in the files depends on scheduling or on how often a run was killed on the way.
package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Form is what the lines of a file look like.
type Form string

const (
	Tasks    Form = "tasks"    // id, type, input
	Requests Form = "requests" // custom_id, method, url, body: OpenAI's Batch API
)

// Types of item.
const (
	TypeRequest   = "request"   // a line of the Requests form
	TypeChat      = "chat"      // a prompt for the model; in: prompt
	TypeSummarize = "summarize" // one or two sentences on a text, or on a Go file's documentation; in: path, text
	TypeMetrics   = "metrics"   // a Go file's figures; in: path, text
	TypeReview    = "review"    // a Go file's grade, from its summary and its figures; in: path, text
)

// ChatURL is the endpoint that the embedded model has.
const ChatURL = "/v1/chat/completions"

// endpoints are those that a request may name.
var endpoints = []string{ChatURL, "/v1/completions", "/v1/embeddings", "/v1/responses"}

// File is a file of work, read and checked.
type File struct {
	Name   string // absolute path
	SHA256 string // of all of it, in lower-case hex
	Bytes  int
	Form   Form
	Items  []Item // in the order of the lines, at least one
}

// Item is what one line asks for.
type Item struct {
	Line int    // from 1
	ID   string // unique in the file
	Type string

	URL  string          // of a request
	Body json.RawMessage // of a request, an object, as it stands in the file

	Prompt string // of a chat
	Path   string // of all others: what the text is called, the id if it has no name
	Text   string
}

// AsksModel reports whether the item needs a model.
func (i Item) AsksModel() bool { return i.Type != TypeMetrics }

// Reply is an HTTP response to a request.
type Reply struct {
	StatusCode int             `json:"status_code"`
	RequestID  string          `json:"request_id"`
	Body       json.RawMessage `json:"body"`
}

// Answered reports whether the reply is what the request wanted.
func (r Reply) Answered() bool { return r.StatusCode == 200 }

// Fault says why an item has neither a reply nor a result.
type Fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Codes of faults. The last two are those of OpenAI.
const (
	CodeFailed      = "request_failed" // every attempt failed
	CodeQuarantined = "request_quarantined"
	CodeCancelled   = "batch_cancelled"
	CodeExpired     = "batch_expired"
)

// Outcome is what came of an item: one of the fields is set.
type Outcome struct {
	Reply  *Reply          // of a request
	Result json.RawMessage // of a task
	Fault  *Fault
}

// OK reports whether the item has what it asked for.
func (o Outcome) OK() bool {
	return o.Fault == nil && (o.Reply == nil || o.Reply.Answered())
}

// identity makes an id that stands for an item of a file and nothing else.
func identity(prefix, file, id string) string {
	sum := sha256.Sum256([]byte(prefix + "\x00" + file + "\x00" + id))
	return prefix + hex.EncodeToString(sum[:12])
}

// RequestID is the request id of a reply whose service gave it none.
func RequestID(f *File, item Item) string { return identity("req_", f.SHA256, item.ID) }
