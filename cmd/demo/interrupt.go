package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

// interrupts returns a context that ends with the first interrupt or at the timeout, with errInterrupted or errOutOfTime as its cause. A
// second interrupt ends the process at once. When nobody reads any more what the run prints, that is a first interrupt: dying of it would leave
// the terminal as the view has it.
func interrupts(c *console, timeout time.Duration) (stop context.Context, release func()) {
	stop, cancel := context.WithCancelCause(context.Background())
	var timer *time.Timer
	if timeout > 0 {
		timer = time.AfterFunc(timeout, func() {
			c.notice("out of time: finishing what agents are working on", "timeout", timeout)
			cancel(errOutOfTime)
		})
	}
	signals := c.interrupts
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		for n := 0; ; {
			select {
			case s := <-signals:
				if s == syscall.SIGPIPE {
					c.notice("nobody reads on: finishing what agents are working on")
				} else if n++; n == 1 {
					c.notice("interrupted: finishing what agents are working on; interrupt again to leave at once")
				} else {
					c.leave()
					os.Exit(summary.ExitInterrupted)
				}
				cancel(errInterrupted)
			case <-done:
				return
			}
		}
	}()
	return stop, func() {
		signal.Stop(signals)
		close(done)
		if timer != nil {
			timer.Stop()
		}
	}
}

// interrupt is an interrupt that didn't come as a signal.
func (c *console) interrupt(s os.Signal) {
	select {
	case c.interrupts <- s:
	default: // two are waiting already
	}
}
