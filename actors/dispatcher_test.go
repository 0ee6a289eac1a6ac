package actors

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// Whatever is scheduled gets going, also if all that was scheduled before it never ends.
func TestDispatcherLetsNothingWaitForAnythingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dispatcher{}
		gate := make(chan struct{})
		var begun atomic.Int64
		const many = 1000
		for range many {
			d.Schedule(func() {
				begun.Add(1)
				<-gate
			})
		}
		synctest.Wait()
		require.EqualValues(t, many, begun.Load())
		d.Schedule(func() { begun.Add(1) })
		synctest.Wait()
		require.EqualValues(t, many+1, begun.Load())
		close(gate)
		synctest.Wait()
		require.LessOrEqual(t, len(d.idle), idleGoroutines)
		require.Zero(t, d.coming)
		d.close()
	})
}

// Some of what is scheduled ends, some blocks, some takes its goroutine with it, and some schedules more, from several goroutines at a time.
func TestDispatcherRunsEverythingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dispatcher{}
		gate := make(chan struct{})
		var runs [4000]atomic.Int64
		var schedulers sync.WaitGroup
		for k := range 4 {
			schedulers.Go(func() {
				for i := k; i < len(runs); i += 8 {
					d.Schedule(func() {
						d.Schedule(func() { runs[i+4].Add(1) })
						runs[i].Add(1)
						switch i % 5 {
						case 0:
							<-gate
						case 1:
							runtime.Gosched()
						case 2:
							runtime.Goexit()
						}
					})
				}
			})
		}
		schedulers.Wait()
		synctest.Wait()
		for i := range runs {
			require.EqualValues(t, 1, runs[i].Load(), "%d", i)
		}
		require.Zero(t, d.coming)
		close(gate)
		synctest.Wait()
		d.close()
	})
}
