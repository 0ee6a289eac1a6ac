package routing

import (
	"context"
	"fmt"
	"reflect"
)

// Handler is a typed task function without its types, so that handlers of different types can be kept and run alike.
type Handler struct {
	name string
	run  func(context.Context, any) (any, error)
}

// HandlerOf pairs a task type with the function that handles it.
func HandlerOf[In, Out any](t Type[In, Out], fn func(context.Context, In) (Out, error)) Handler {
	return Handler{name: t.name, run: func(ctx context.Context, payload any) (any, error) {
		in, err := as[In](payload)
		switch {
		case err == errOtherType:
			return nil, Permanent(fmt.Errorf("task type %q takes %v, but the payload is a %T", t.name, reflect.TypeFor[In](), payload))
		case err != nil:
			return nil, Permanent(fmt.Errorf("task type %q takes %v, but the stored payload doesn't decode as one: %w", t.name, reflect.TypeFor[In](), err))
		}
		out, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}}
}

// Type returns the name of the task type.
func (h Handler) Type() string { return h.name }

// Run calls the function on the calling goroutine. A payload of another type is a [Permanent] error. A panic is the caller's to recover.
func (h Handler) Run(ctx context.Context, payload any) (any, error) { return h.run(ctx, payload) }
