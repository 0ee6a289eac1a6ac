package actors

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
)

// traces makes the spans of tasks:
//
//	task T             from the submit until the task is settled
//	├─ submit T        until it was admitted
//	├─ attempt T       each lease, on the agent that has it; what the handler starts is below
//	│  └─ call B       each call through a breaker; what it starts is below
//	└─ attempt T
type traces struct{ tracer trace.Tracer }

// trail is what a task carries.
type trail struct {
	task  trace.Span
	users any // what the user's own Carry took along

	mu      sync.Mutex
	attempt *attemptSpan // the one that goes on
}

// carry begins a task's trace at its submit.
func (t *telemetry) carry(users routing.Carry) routing.Carry {
	if t == nil || t.traces == nil {
		return users
	}
	tracer := t.traces.tracer
	return func(ctx context.Context, taskType string) (any, func(string, bool, error)) {
		attrs := trace.WithAttributes(taskTypeKey.String(taskType))
		ctx, task := tracer.Start(ctx, "task "+taskType, attrs)
		_, submit := tracer.Start(ctx, "submit "+taskType, attrs, trace.WithSpanKind(trace.SpanKindProducer))
		tr := &trail{task: task}
		var usersDone func(string, bool, error)
		if users != nil {
			tr.users, usersDone = users(ctx, taskType)
		}
		return tr, func(id string, fresh bool, err error) {
			known := []attribute.KeyValue{newKey.Bool(fresh)}
			if err == nil {
				known = append(known, taskIDKey.String(id))
			}
			submit.SetAttributes(known...)
			failed(submit, err)
			submit.End()
			if !fresh { // the task is another's, or there is none
				task.SetAttributes(known...)
				failed(task, err)
				task.End()
			}
			if usersDone != nil {
				usersDone(id, fresh, err)
			}
		}
	}
}

// failed marks a span, if err isn't nil.
func failed(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}

// task follows what becomes of a task. It returns the event without what is the traces' own.
func (t *traces) task(e routing.Event) routing.Event {
	tr, ok := e.Carried.(*trail)
	if !ok {
		return e
	}
	switch e.Kind {
	case routing.EventSubmitted:
		tr.task.SetAttributes(taskIDKey.String(e.Task), newKey.Bool(true))
	case routing.EventRetried:
		tr.attemptEnded(e)
		tr.task.AddEvent("retried", trace.WithTimestamp(e.Time), trace.WithAttributes(attemptKey.Int(e.Attempt), outcomeKey.String(e.Outcome.String())))
	case routing.EventRequeued:
		tr.task.AddEvent("requeued", trace.WithTimestamp(e.Time))
	case routing.EventSettled:
		tr.attemptEnded(e)
		tr.task.SetAttributes(taskStateKey.String(e.State.String()), attemptKey.Int(e.Attempt))
		switch {
		case e.State == routing.StateDone:
		case e.Err != nil:
			tr.task.SetStatus(codes.Error, e.Err.Error())
		default:
			tr.task.SetStatus(codes.Error, e.State.String())
		}
		tr.task.End(trace.WithTimestamp(e.Time))
	}
	e.Carried = tr.users
	return e
}

// attemptEnded ends the span of an attempt that the event concludes, if its agent hasn't: one that hangs or was killed can't.
func (tr *trail) attemptEnded(e routing.Event) {
	tr.mu.Lock()
	a := tr.attempt
	tr.mu.Unlock()
	if a != nil && a.number == e.Attempt {
		a.finish(e.Outcome, e.Err, trace.WithTimestamp(e.Time))
	}
}

// attemptSpan is one attempt. A nil one records nothing.
type attemptSpan struct {
	trace.Span
	number int
}

// attempt begins the span of a lease; what the handler does in the returned context is below it.
func (t *telemetry) attempt(ctx context.Context, in *incarnation, l *routing.Lease) (context.Context, *attemptSpan) {
	if t == nil || t.traces == nil {
		return ctx, nil
	}
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(taskTypeKey.String(l.Type()), taskIDKey.String(l.ID()), attemptKey.Int(l.Attempt()),
			nodePathKey.String(in.node.path), incarnationKey.Int64(int64(in.number))),
	}
	tr, _ := l.Carried().(*trail)
	if tr == nil { // it was submitted in another life of the ledger
		options = append(options, trace.WithNewRoot())
	} else {
		ctx = trace.ContextWithSpan(ctx, tr.task)
	}
	ctx, span := t.traces.tracer.Start(ctx, "attempt "+l.Type(), options...)
	a := &attemptSpan{span, l.Attempt()}
	if tr != nil {
		tr.mu.Lock()
		tr.attempt = a
		tr.mu.Unlock()
	}
	return ctx, a
}

// end ends the span with what the handler came to. failure is its panic, if it did; it is lost if nobody waited for it any more.
func (a *attemptSpan) end(o routing.Outcome, failure error, lost bool) {
	if a == nil {
		return
	}
	var panicked *PanicError
	if errors.As(failure, &panicked) && a.IsRecording() {
		a.RecordError(failure, trace.WithAttributes(attribute.String("exception.stacktrace", panicked.Stack())))
	}
	switch {
	case lost:
		a.finish(routing.OutcomeHung, ErrHung)
	case o.Kind() == routing.OutcomePending: // it ended its goroutine
		a.finish(routing.OutcomeCrashed, ErrGoexit)
	default:
		a.finish(o.Kind(), o.Err())
	}
}

func (a *attemptSpan) finish(kind routing.OutcomeKind, err error, options ...trace.SpanEndOption) {
	a.SetAttributes(outcomeKey.String(kind.String()))
	switch kind {
	case routing.OutcomeDone, routing.OutcomeReleased:
	default:
		text := kind.String()
		if err != nil {
			text += ": " + err.Error()
		}
		a.SetStatus(codes.Error, text)
	}
	a.End(options...)
}

// call begins the span of a call through a breaker. end has to be called with its error.
func (t *telemetry) call(ctx context.Context, n *node) (_ context.Context, end func(error)) {
	if t == nil || t.traces == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.traces.tracer.Start(ctx, "call "+n.spec().id, trace.WithAttributes(nodePathKey.String(n.path)))
	return ctx, func(err error) {
		result := "succeeded"
		var open *breaker.OpenError
		switch {
		case errors.As(err, &open), errors.Is(err, breaker.ErrSaturated):
			result = "rejected"
		case err != nil:
			result = "failed"
		}
		span.SetAttributes(callKey.String(result))
		failed(span, err)
		span.End()
	}
}
