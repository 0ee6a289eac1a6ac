package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/batch"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// The types of task of a batch. In: the item's id, for the items are in memory as long as the process lives.
var (
	batchModelType   = routing.NewType[string, json.RawMessage]("batch.model")
	batchFiguresType = routing.NewType[string, json.RawMessage]("batch.figures")
)

// Limits of a batch's requests. A model may think for minutes before a whole answer comes.
const (
	requestTimeout  = 10 * time.Minute
	requestAttempts = 5 // that end with an error
)

// batchCrew is what the agents of a batch share.
type batchCrew struct {
	crew
	file     *batch.File
	items    map[string]batch.Item // by id
	override string                // the model that requests are sent to, whichever they name; empty leaves it to them
}

// operations are the names that telemetry has for what is asked of an endpoint.
var operations = map[string]string{
	batch.ChatURL: "chat", "/v1/responses": "chat", "/v1/completions": "text_completion", "/v1/embeddings": "embeddings",
}

// batchTaskID is the id under which the hub knows an item. It is none that the demo's own tasks have.
func batchTaskID(id string) string { return "item:" + task.Subject(id) }

// disturbed is the id by which a plan decides what goes wrong with an item: as with a summary.
func disturbed(taskID string) string { return task.SummarizeID(taskID) }

// countBatchCrashes counts the crashes that a plan has in store.
func countBatchCrashes(plan chaos.Plan, file *batch.File) int {
	n := 0
	for _, item := range file.Items {
		for attempt := 1; attempt <= chaos.LastAttempt; attempt++ {
			if plan.Panics(disturbed(batchTaskID(item.ID)), attempt) {
				n++
			}
		}
	}
	return n
}

// newBatchTree describes the system that works a batch off: agents that ask the model, through its breaker, and agents that compute.
func newBatchTree(c *batchCrew, workers int) actors.Supervisor {
	budget := strategies.MaxRestarts(10+countBatchCrashes(c.plan, c.file), time.Minute)
	asks, computes := false, false
	for _, item := range c.file.Items {
		asks, computes = asks || item.AsksModel(), computes || !item.AsksModel()
	}
	root := actors.Supervisor{ID: rootID, Strategy: strategies.OneForOne(strategies.MaxRestarts(3, time.Minute))}
	if asks {
		model := outside(modelBreaker, 250*time.Millisecond)
		model.Config.Breaker.OperationTimeout = requestTimeout
		model.Config.Bulkhead = breaker.BulkheadConfig{MaxConcurrent: maxWorkers}
		root.Children = append(root.Children, model, actors.Supervisor{
			ID:       "requests",
			Strategy: strategies.OneForOne(budget.WithBackoff(strategies.Exponential(10*time.Millisecond, 500*time.Millisecond))),
			Children: []actors.Child{actors.Pool(workers, actors.Agent("asker", batchModelType, c.askModel).GuardedBy(modelBreaker))},
		})
	}
	if computes {
		root.Children = append(root.Children, actors.Supervisor{
			ID:       "figures",
			Strategy: strategies.OneForOne(budget),
			Children: []actors.Child{actors.Pool(workers, actors.Agent("measurer", batchFiguresType, c.compute))},
		})
	}
	return root
}

// begin finds the item of a task, and crashes the agent if that is planned for this attempt.
func (c *batchCrew) begin(ctx context.Context, id string) (batch.Item, routing.TaskInfo, error) {
	info, _ := routing.FromContext(ctx)
	if c.plan.Panics(disturbed(info.ID), info.Attempt) {
		panic(fmt.Errorf("planned crash of %s, attempt %d", info.ID, info.Attempt))
	}
	item, known := c.items[id]
	if !known {
		return item, info, routing.Permanent(fmt.Errorf("the batch has no item %q", id))
	}
	return item, info, nil
}

// compute does what needs no model.
func (c *batchCrew) compute(ctx context.Context, id string) (json.RawMessage, error) {
	item, _, err := c.begin(ctx, id)
	if err != nil {
		return nil, err
	}
	return item.Result("")
}

// askModel asks the model once, and makes the result of what it says.
func (c *batchCrew) askModel(ctx context.Context, id string) (json.RawMessage, error) {
	item, info, err := c.begin(ctx, id)
	if err != nil {
		return nil, err
	}
	if item.Type != batch.TypeRequest {
		answer, err := c.ask(ctx, &c.model, info, item.ModelPrompt())
		if err != nil {
			return nil, err
		}
		return item.Result(answer)
	}
	reply, err := c.send(ctx, item, info)
	if err != nil {
		return nil, err
	}
	return json.Marshal(reply)
}

// send makes a request through the breaker. A reply that refuses it for good is a reply, whatever it says; any other error is for the hub to try again.
func (c *batchCrew) send(ctx context.Context, item batch.Item, info routing.TaskInfo) (batch.Reply, error) {
	client := c.model.client
	body, named, err := withModel(item.Body, c.override)
	if err != nil {
		return batch.Reply{}, routing.Permanent(err)
	}
	if client.Model == "" {
		client.Model = named
	}
	q := model.Question{Task: info.ID, Attempt: info.Attempt, Heard: int(c.model.heard.Load())}
	reply, err := actors.Guard(ctx, c.model.breaker, func(ctx context.Context) (model.Reply, error) {
		q.Call, q.Period = int(c.calls.Add(1)), c.sent.note(ctx)
		reply, err := c.tell.Request(ctx, operations[item.URL], client, info.ID, info.Attempt, func(ctx context.Context) (model.Reply, error) {
			return client.Post(ctx, q, item.URL, body)
		})
		if hopeless(err) && !errors.Is(err, model.ErrTooLong) {
			err = nil
		}
		return reply, err
	})
	c.model.hear(err)
	switch {
	case hopeless(err):
		return batch.Reply{}, routing.Permanent(err)
	case err != nil:
		return batch.Reply{}, err
	}
	if reply.RequestID == "" {
		reply.RequestID = batch.RequestID(c.file, item)
	}
	return batch.Reply(reply), nil
}

// withModel is the body of a request with another model in it, if there is to be one, and the model that it names then.
func withModel(body json.RawMessage, override string) (sent []byte, name string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, "", err
	}
	if override == "" {
		_ = json.Unmarshal(fields["model"], &name) // what is no name is the model's to refuse
		return body, name, nil
	}
	if fields["model"], err = json.Marshal(override); err != nil {
		return nil, "", err
	}
	sent, err = json.Marshal(fields)
	return sent, override, err
}
