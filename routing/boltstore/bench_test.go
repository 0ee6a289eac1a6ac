package boltstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/routing/boltstore"
)

var double = routing.NewType[int, int]("double")

// benchHub is a hub with eight spokes, each with a goroutine for each of its credits.
func benchHub(b *testing.B, o routing.Options, credits int) *routing.Hub {
	b.Helper()
	hub, err := routing.NewHub(o)
	if err != nil {
		b.Fatal(err)
	}
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	pid := system.Root.Spawn(actor.PropsFromProducer(hub.Actor()))
	handler := routing.HandlerOf(double, func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	var workers sync.WaitGroup
	for i := range 8 {
		inbox := make(chan *routing.Lease, credits)
		for range credits {
			workers.Go(func() {
				for lease := range inbox {
					for lease != nil {
						out, _ := handler.Run(lease.Context(context.Background()), lease.Input())
						lease, _ = lease.Settle(routing.Done(out))
					}
				}
			})
		}
		_, err := hub.Join(routing.SpokeSpec{
			ID: routing.SpokeID{Path: fmt.Sprint(i)}, Types: []string{double.Name()}, Credits: credits,
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

// A thousand submitters at a time, each waiting for its result before it submits again.
func BenchmarkThousandInFlight(b *testing.B) {
	for _, credits := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("credits=8x%d", credits), func(b *testing.B) {
			store, err := boltstore.Open(filepath.Join(b.TempDir(), "tasks.db"), boltstore.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { store.Close() })
			hub := benchHub(b, routing.Options{Store: store, Results: 10_000}, credits)
			ctx := context.Background()
			var clients sync.WaitGroup
			turns := make(chan struct{}, 1000)
			for range 1000 {
				clients.Go(func() {
					for range turns {
						if _, err := double.Do(ctx, hub, 1); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				turns <- struct{}{}
			}
			close(turns)
			clients.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}
