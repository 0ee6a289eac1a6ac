package batch

import (
	"encoding/json"
	"strings"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/audit"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
)

// Text is the result of a chat.
type Text struct {
	Text string `json:"text"`
}

// ModelPrompt is what the model is asked for an item that isn't a request.
func (i Item) ModelPrompt() string {
	if i.Type == TypeChat {
		return i.Prompt
	}
	return audit.Prompt(i.doc())
}

// doc is what there is to summarise: the documentation of a Go file, or else the text as it is.
func (i Item) doc() audit.Doc {
	if i.Type == TypeReview || strings.HasSuffix(i.Path, ".go") {
		return audit.Document(audit.Parse(i.Path, []byte(i.Text)))
	}
	return audit.Doc{Path: i.Path, Text: i.Text}
}

// Result is what a task yields, given what the model said to its prompt, if it has one.
func (i Item) Result(answer string) (json.RawMessage, error) {
	var v any
	switch summary := (audit.Summary{Path: i.Path, Text: answer}); i.Type {
	case TypeChat:
		v = Text{answer}
	case TypeSummarize:
		v = summary
	case TypeMetrics:
		v = audit.Measure(audit.Parse(i.Path, []byte(i.Text)))
	default:
		file := audit.Parse(i.Path, []byte(i.Text))
		v = audit.Assess(summary, audit.Measure(file), audit.NewGlossary(file).In(file))
	}
	return json.Marshal(v)
}

// embedded is the task's result if the embedded model was asked.
func (i Item) embedded() (json.RawMessage, error) {
	if !i.AsksModel() {
		return i.Result("")
	}
	return i.Result(model.Answer(i.ModelPrompt()))
}
