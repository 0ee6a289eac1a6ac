package model

import (
	"errors"
	"fmt"
	"time"
)

// ErrModel is wrapped by every error that the service, or the way to it, is to blame for. The end of the caller's
// context is not among them.
var ErrModel = errors.New("the model failed")

// ErrTooLong is wrapped by the error about an answer that doesn't come in a stream and is longer than [MaxReply]. It will be the next time, too.
var ErrTooLong = fmt.Errorf("it has more than %d bytes", MaxReply)

// StatusError is an answer other than 200 that does not say when to come back.
type StatusError struct {
	Code    int    // the HTTP status; 200 if the service reported the error inside a stream
	Message string // what the service said, shortened
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%v: status %d: %s", ErrModel, e.Code, e.Message)
}
func (e *StatusError) Unwrap() error { return ErrModel }

// OverloadedError is a 429 or 503 with a Retry-After. It alone has the method RetryAfter, by which a hub tells a service
// that is busy from one that fails.
type OverloadedError struct {
	Code  int
	After time.Duration // from 0 to an hour

	Notice int // its number, if the server counts its overloads
}

func (e *OverloadedError) Error() string {
	return fmt.Sprintf("%v: overloaded (status %d), come back in %v", ErrModel, e.Code, e.After)
}
func (e *OverloadedError) Unwrap() error { return ErrModel }

// RetryAfter is how long the service wants to be left alone.
func (e *OverloadedError) RetryAfter() time.Duration { return e.After }

// CutError is a connection that could not be made, or ended before the answer did.
type CutError struct {
	Received int   // bytes of the answer that had come in
	Err      error // what the connection said
}

func (e *CutError) Error() string {
	return fmt.Sprintf("%v: the connection ended after %d bytes of the answer: %v", ErrModel, e.Received, e.Err)
}
func (e *CutError) Unwrap() []error { return []error{ErrModel, e.Err} }

// FormatError is an answer that is not what the format says, or exceeds a bound.
type FormatError struct {
	Err error
}

func (e *FormatError) Error() string   { return fmt.Sprintf("%v: bad answer: %v", ErrModel, e.Err) }
func (e *FormatError) Unwrap() []error { return []error{ErrModel, e.Err} }
