package routing

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// maxNameBytes bounds the names of task types, task ids and keys.
const maxNameBytes = 256

// Type is the typed descriptor of a kind of task: its name, and what goes in and comes out. It is an immutable value, made
// with [NewType] and usually kept in a package-level variable. Two Types with the same name are the same kind of task.
//
// In and Out should be such that JSON of them decodes as the same again, and are no interfaces with methods: a durable ledger stores them so. See [Options.Store].
type Type[In, Out any] struct {
	name string
}

// Submitter is where tasks are submitted to: a [Hub], or anything that has one.
type Submitter interface {
	Hub() *Hub
}

// NewType describes a kind of task. The name is 1 to 256 bytes of printable text without spaces; a bad name is reported by
// whatever first uses the type (Submit, [Hub.Declare], [Hub.Join]).
func NewType[In, Out any](name string) Type[In, Out] {
	return Type[In, Out]{name: name}
}

// Name returns the name by which the hub routes.
func (t Type[In, Out]) Name() string { return t.name }

// Submit hands a task to the hub and returns its handle. The task is accepted, and will settle exactly once, or it is
// refused at once with an error that says why: [*QueueFullError], [*UnknownTypeError], [*ConflictError], [ErrExpired], [ErrClosed].
// ctx bounds the submit only (it matters with [Wait]); it has no hold on the accepted task.
func (t Type[In, Out]) Submit(ctx context.Context, to Submitter, in In, opts ...SubmitOption) (*Handle[Out], error) {
	handle, _, err := t.submit(ctx, to, in, opts)
	return handle, err
}

// submit also reports whether the task is a new one.
func (t Type[In, Out]) submit(ctx context.Context, to Submitter, in In, opts []SubmitOption) (_ *Handle[Out], fresh bool, err error) {
	hub := to.Hub()
	if hub == nil {
		return nil, false, fmt.Errorf("submit task of type %q: the submitter has no hub: %w", t.name, ErrClosed)
	}
	if hub.journal != nil {
		if err := decodable(reflect.TypeFor[In](), reflect.TypeFor[Out]()); err != nil {
			return nil, false, fmt.Errorf("submit task of type %q: %w", t.name, err)
		}
	}
	task, fresh, err := hub.submitCarrying(ctx, t.name, in, opts)
	return (*Handle[Out])(task), fresh, err
}

// Do submits a task and awaits its result. When ctx ends first, the task is cancelled with the cause of ctx, also if it is a subtask that an earlier
// attempt of its parent has submitted, and nobody else in a handler awaits. Only the wait ends if the task was submitted by someone else under the same [ID], or if it is a subtask and ctx ended with
// the attempt of its parent: then the next attempt finds it.
func (t Type[In, Out]) Do(ctx context.Context, to Submitter, in In, opts ...SubmitOption) (Out, error) {
	handle, fresh, err := t.submit(ctx, to, in, opts)
	if err != nil {
		var zero Out
		return zero, err
	}
	if err := handle.wait(ctx); err != nil {
		if !leaseOf(ctx).givesUp(handle.task(), fresh) {
			var zero Out
			return zero, err
		}
		handle.Cancel(err)
		<-handle.Done() // it is settled; with a store, that has to be recorded
	}
	return handle.result()
}

// ValidateType reports what is wrong with the name of a task type, or nil.
func ValidateType(name string) error { return validName("task type", name) }

func validName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s is empty: give it 1 to %d bytes", what, maxNameBytes)
	case len(name) > maxNameBytes:
		return fmt.Errorf("%s has %d bytes: at most %d are allowed", what, len(name), maxNameBytes)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		return fmt.Errorf("%s %q has spaces or unprintable characters", what, name)
	}
	return nil
}

// maxIDBytes bounds task ids, and the paths of spokes: enough for the paths of files.
const maxIDBytes = 4096

func validID(id string) error {
	if id == "" {
		return fmt.Errorf("task id is empty: give it 1 to %d bytes, or leave the option out", maxIDBytes)
	}
	return validText("task id", id)
}

// ValidatePath reports what is wrong with the path of a spoke, or nil. It must be such as a task id may be, as it is part of some.
func ValidatePath(path string) error { return validText("path", path) }

func validText(what, text string) error {
	switch {
	case text == "":
		return fmt.Errorf("%s is empty: give it 1 to %d bytes", what, maxIDBytes)
	case len(text) > maxIDBytes:
		return fmt.Errorf("%s has %d bytes: at most %d are allowed", what, len(text), maxIDBytes)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%s %q has unprintable characters", what, text)
	}
	return nil
}

func validNames(what string, names []string) error {
	var faults []error
	for _, name := range names {
		faults = append(faults, validName(what, name))
	}
	return errors.Join(faults...)
}
