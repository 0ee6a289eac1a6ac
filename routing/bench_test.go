package routing_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/routing"
)

// benchHub is a hub with eight spokes, each with a goroutine that does nothing to its tasks.
func benchHub(b *testing.B) *routing.Hub {
	b.Helper()
	hub, err := routing.NewHub(routing.Options{Results: 1000})
	if err != nil {
		b.Fatal(err)
	}
	system := quietSystem()
	pid := system.Root.Spawn(actor.PropsFromProducer(hub.Actor()))
	handler := routing.HandlerOf(double, func(_ context.Context, n int) (int, error) { return n, nil })
	var workers sync.WaitGroup
	for i := range 8 {
		inbox := make(chan *routing.Lease, 1)
		workers.Go(func() {
			for lease := range inbox {
				for lease != nil {
					out, _ := handler.Run(lease.Context(context.Background()), lease.Input())
					lease, _ = lease.Settle(routing.Done(out))
				}
			}
		})
		_, err := hub.Join(routing.SpokeSpec{
			ID: routing.SpokeID{Path: fmt.Sprint(i)}, Types: []string{double.Name()},
			Deliver: func(l *routing.Lease) { inbox <- l },
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { close(inbox) })
	}
	b.Cleanup(func() {
		hub.Close(nil)
		_ = system.Root.StopFuture(pid).Wait()
	})
	return hub
}

func BenchmarkSubmitToResult(b *testing.B) {
	for _, inFlight := range []int{1, 1000} {
		b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) {
			hub := benchHub(b)
			ctx := context.Background()
			handles := make([]*routing.Handle[int], 0, inFlight)
			b.ReportAllocs()
			for b.Loop() {
				handle, err := double.Submit(ctx, hub, 1)
				if err != nil {
					b.Fatal(err)
				}
				handles = append(handles, handle)
				if len(handles) < inFlight {
					continue
				}
				for _, handle := range handles {
					if _, err := handle.Await(ctx); err != nil {
						b.Fatal(err)
					}
				}
				handles = handles[:0]
			}
		})
	}
}

func BenchmarkSettleWithManyWaiting(b *testing.B) {
	for _, waiting := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			hub, err := routing.NewHub(routing.Options{Capacity: waiting + 10, Results: 1000})
			if err != nil {
				b.Fatal(err)
			}
			if err := hub.Declare(double.Name()); err != nil {
				b.Fatal(err)
			}
			system := quietSystem()
			pid := system.Root.Spawn(actor.PropsFromProducer(hub.Actor()))
			defer func() { _ = system.Root.StopFuture(pid).Wait() }()
			ctx := context.Background()
			for range waiting + 2 {
				if _, err := double.Submit(ctx, hub, 1); err != nil {
					b.Fatal(err)
				}
			}
			first := make(chan *routing.Lease, 1)
			_, err = hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "a"}, Types: []string{double.Name()}, Deliver: func(l *routing.Lease) { first <- l }})
			if err != nil {
				b.Fatal(err)
			}
			lease := <-first
			b.ReportAllocs()
			for b.Loop() {
				if _, err := double.Submit(ctx, hub, 1); err != nil {
					b.Fatal(err)
				}
				lease, _ = lease.Settle(routing.Done(1))
			}
		})
	}
}
