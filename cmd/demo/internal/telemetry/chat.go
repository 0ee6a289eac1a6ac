package telemetry

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
)

// scope is the instrumentation scope of what is told of model calls.
const scope = "github.com/mistersmith/mistersmith/cmd/demo"

// What OpenTelemetry's conventions have no name for.
const (
	taskKey    = attribute.Key("mistersmith.task.id")
	attemptKey = attribute.Key("mistersmith.task.attempt")
	chunksKey  = attribute.Key("mistersmith.answer.chunks")
	bytesKey   = attribute.Key("mistersmith.answer.bytes")
)

// embeddedProvider names the model in the binary, which is nobody's that the conventions know.
const embeddedProvider = "mistersmith"

// chats tells of model calls.
type chats struct {
	tracer   trace.Tracer
	duration genaiconv.ClientOperationDuration
	first    genaiconv.ClientOperationTimeToFirstChunk
	tokens   genaiconv.ClientTokenUsage
}

func newChats(meters metric.MeterProvider, tracers trace.TracerProvider) (chats, error) {
	meter := meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
	bounds := metric.WithExplicitBucketBoundaries(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92) // those of the conventions
	duration, err := genaiconv.NewClientOperationDuration(meter, bounds)
	if err != nil {
		return chats{}, err
	}
	first, err := genaiconv.NewClientOperationTimeToFirstChunk(meter, bounds)
	if err != nil {
		return chats{}, err
	}
	tokens, err := genaiconv.NewClientTokenUsage(meter,
		metric.WithExplicitBucketBoundaries(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)) // likewise
	return chats{tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)), duration, first, tokens}, err
}

// Chat tells of one call to a model. ask makes it, and calls chunk for each piece of the answer as it comes.
func (t *Telemetry) Chat(ctx context.Context, client model.Client, task string, attempt int, ask func(ctx context.Context, chunk func()) (model.Completion, error)) (model.Completion, error) {
	return t.call(ctx, string(genaiconv.OperationNameChat), true, client, task, attempt, ask)
}

// Request tells of one request whose answer comes as a whole. operation is one of the conventions' names, such as chat or embeddings.
func (t *Telemetry) Request(ctx context.Context, operation string, client model.Client, task string, attempt int, send func(context.Context) (model.Reply, error)) (model.Reply, error) {
	var reply model.Reply
	_, err := t.call(ctx, operation, false, client, task, attempt, func(ctx context.Context, _ func()) (answer model.Completion, err error) {
		reply, err = send(ctx)
		return model.Completion{Text: string(reply.Body), Tokens: model.TokensOf(reply.Body)}, err
	})
	return reply, err
}

func (t *Telemetry) call(ctx context.Context, operation string, stream bool, client model.Client, task string, attempt int,
	ask func(ctx context.Context, chunk func()) (model.Completion, error)) (model.Completion, error) {
	provider := semconv.GenAIProviderNameOpenAI
	if client.Model == books.EmbeddedModel {
		provider = semconv.GenAIProviderNameKey.String(embeddedProvider)
	}
	about := append(server(client.BaseURL), semconv.GenAIRequestModel(client.Model))
	attrs := append(about[:len(about):len(about)], semconv.GenAIOperationNameKey.String(operation), provider, semconv.GenAIRequestStream(stream),
		taskKey.String(task), attemptKey.Int(attempt))
	if operation == string(genaiconv.OperationNameChat) {
		attrs = append(attrs, semconv.GenAIOutputTypeText)
	}
	ctx, span := t.chats.tracer.Start(ctx, operation+" "+client.Model, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	defer span.End()

	began, chunks := time.Now(), 0
	answer, err := ask(ctx, func() {
		if chunks++; chunks == 1 {
			wait := time.Since(began).Seconds()
			span.SetAttributes(semconv.GenAIResponseTimeToFirstChunk(wait))
			t.chats.first.Record(ctx, wait, genaiconv.OperationNameAttr(operation), genaiconv.ProviderNameAttr(provider.Value.AsString()), about...)
		}
	})
	span.SetAttributes(chunksKey.Int(chunks), bytesKey.Int(len(answer.Text)))
	if n := answer.Tokens; n != (model.Tokens{}) {
		span.SetAttributes(semconv.GenAIUsageInputTokens(n.Input), semconv.GenAIUsageOutputTokens(n.Output))
		for kind, count := range map[genaiconv.TokenTypeAttr]int{genaiconv.TokenTypeInput: n.Input, genaiconv.TokenTypeOutput: n.Output} {
			t.chats.tokens.Record(ctx, int64(count), genaiconv.OperationNameAttr(operation), genaiconv.ProviderNameAttr(provider.Value.AsString()), kind, about...)
		}
	}
	if err != nil {
		kind := semconv.ErrorTypeKey.String(errorType(err))
		about = append(about, kind)
		span.SetAttributes(kind)
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	t.chats.duration.Record(ctx, time.Since(began).Seconds(), genaiconv.OperationNameAttr(operation), genaiconv.ProviderNameAttr(provider.Value.AsString()), about...)
	return answer, err
}

// server says where a model is.
func server(base string) []attribute.KeyValue {
	u, err := url.Parse(base)
	if err != nil {
		return nil // the call itself fails on it
	}
	attrs := []attribute.KeyValue{semconv.ServerAddress(u.Hostname())}
	if port, err := strconv.Atoi(u.Port()); err == nil {
		attrs = append(attrs, semconv.ServerPort(port))
	}
	return attrs
}

// errorType is a word of few for what went wrong: the status of a refusal, or the kind of error.
func errorType(err error) string {
	var refused *model.StatusError
	var overloaded *model.OverloadedError
	var cut *model.CutError
	var garbled *model.FormatError
	switch {
	case errors.As(err, &refused):
		return strconv.Itoa(refused.Code)
	case errors.As(err, &overloaded):
		return strconv.Itoa(overloaded.Code)
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.As(err, &cut):
		return "cut"
	case errors.As(err, &garbled):
		return "format"
	default:
		return "_OTHER"
	}
}
