package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/audit"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/telemetry"
	"github.com/mistersmith/mistersmith/routing"
)

// The types of task that the agents handle.
var (
	summarizeType = routing.NewType[audit.Doc, audit.Summary](task.TypeSummarize)
	metricsType   = routing.NewType[string, audit.Metrics](task.TypeMetrics) // in: the path of the file
	reviewType    = routing.NewType[reviewInput, audit.Review](task.TypeReview)
)

// reviewInput is what a review starts from: the two tasks before it.
type reviewInput struct {
	Summary audit.Summary `json:"summary"`
	Metrics audit.Metrics `json:"metrics"`
}

// Names of nodes that others ask.
const (
	rootID       = "root"
	indexPath    = "root/code/index"
	glossaryPath = "root/review/glossary"
	modelBreaker = "llm"
)

// crew is what the agents share: the plan of what goes wrong, and the model they ask.
type crew struct {
	plan   chaos.Plan
	model  line // summaries
	outage line // that drill's: always the embedded server
	stream line // the stall drill's: likewise
	seen   *sightings
	over   *once // given when nothing is left to do but to stop
	sent   *sentLog
	tell   *telemetry.Telemetry
	calls  atomic.Int64 // requests sent
}

// line is a way to a model: through a breaker node of the tree.
type line struct {
	breaker string
	client  model.Client
	heard   atomic.Int64 // the latest overload whose Retry-After is kept on it
}

// hear takes note of an overload, once the line is held.
func (l *line) hear(err error) {
	var overloaded *model.OverloadedError
	if !errors.As(err, &overloaded) {
		return
	}
	for notice := int64(overloaded.Notice); ; {
		heard := l.heard.Load()
		if heard >= notice || l.heard.CompareAndSwap(heard, notice) {
			return
		}
	}
}

// mayPanic crashes the agent if that is planned for this attempt.
func (c *crew) mayPanic(ctx context.Context) routing.TaskInfo {
	info, _ := routing.FromContext(ctx)
	if c.plan.Panics(info.ID, info.Attempt) {
		panic(fmt.Errorf("planned crash of %s, attempt %d", info.ID, info.Attempt))
	}
	return info
}

// summarize asks the model for a summary, through the breaker: while the model is down it isn't asked, and the task waits.
func (c *crew) summarize(ctx context.Context, doc audit.Doc) (audit.Summary, error) {
	info := c.mayPanic(ctx)
	text, err := c.ask(ctx, &c.model, info, audit.Prompt(doc))
	return audit.Summary{Path: doc.Path, Text: text}, err
}

// ask makes one call to the model. It doesn't try again: that is the hub's business.
func (c *crew) ask(ctx context.Context, to *line, info routing.TaskInfo, prompt string) (string, error) {
	q := model.Question{Task: info.ID, Attempt: info.Attempt, Prompt: prompt, Heard: int(to.heard.Load())} // before it gets in line: what was heard by now, it keeps to
	answer, err := actors.GuardStream(ctx, to.breaker, func(ctx context.Context, beat func()) (model.Completion, error) {
		q.Call, q.Period = int(c.calls.Add(1)), c.sent.note(ctx)
		return c.tell.Chat(ctx, to.client, info.ID, info.Attempt, func(ctx context.Context, chunk func()) (model.Completion, error) {
			pieces := 0
			return to.client.Chat(ctx, q, func(string) {
				beat()
				pieces++
				routing.Progress(ctx, pieces)
				chunk()
			})
		})
	})
	to.hear(err)
	if hopeless(err) {
		err = routing.Permanent(err)
	}
	return answer.Text, err
}

// hopeless reports whether the model refused the request as such, or the key, or is elsewhere, or says more than is taken: asking again won't help.
func hopeless(err error) bool {
	var refused *model.StatusError
	if !errors.As(err, &refused) {
		return errors.Is(err, model.ErrTooLong)
	}
	switch refused.Code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	default:
		return refused.Code >= 300 && refused.Code < 500
	}
}

// measure computes the figures of a file that the index has parsed.
func (c *crew) measure(ctx context.Context, path string) (audit.Metrics, error) {
	c.mayPanic(ctx)
	tree, _ := actors.TreeFromContext(ctx)
	file, err := actors.Ask[*audit.File](ctx, tree, tree.PID(indexPath), parse{path})
	if err != nil {
		return audit.Metrics{}, err
	}
	return audit.Measure(file), nil
}

// review combines a file's summary and figures with what the glossary knows of its words.
func (c *crew) review(ctx context.Context, in reviewInput) (audit.Review, error) {
	c.mayPanic(ctx)
	tree, _ := actors.TreeFromContext(ctx)
	terms, err := actors.Ask[[]audit.Term](ctx, tree, tree.PID(glossaryPath), termsOf{in.Metrics.Path})
	if err != nil {
		return audit.Review{}, err
	}
	return audit.Assess(in.Summary, in.Metrics, terms), nil
}
