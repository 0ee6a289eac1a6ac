package main

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// audience is a writer to somebody who may leave before all is said, as head does.
type audience struct {
	io.Writer
	left func() // called once, when a write meets a closed pipe
	once sync.Once
}

// Write implements io.Writer.
func (a *audience) Write(p []byte) (int, error) {
	n, err := a.Writer.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		a.once.Do(a.left)
	}
	return n, err
}
