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
// second interrupt ends the process at once.
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
	done := make(chan struct{})
	go func() {
		for n := 1; ; n++ {
			select {
			case <-signals:
				if n > 1 {
					c.leave()
					os.Exit(summary.ExitInterrupted)
				}
				c.notice("interrupted: finishing what agents are working on; interrupt again to leave at once")
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
func (c *console) interrupt() {
	select {
	case c.interrupts <- os.Interrupt:
	default: // two are waiting already
	}
}
