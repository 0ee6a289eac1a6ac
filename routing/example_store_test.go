package routing_test

import (
	"context"
	"fmt"

	"github.com/mistersmith/mistersmith/routing"
)

// Cupboard is a store of one's own: it keeps what it is given. A real one puts it where it outlives the process.
type Cupboard map[string][]byte

// Load implements routing.Store.
func (c Cupboard) Load(_ context.Context, each func(routing.Record) error) error {
	for key, data := range c {
		if err := each(routing.Record{Key: key, Data: data}); err != nil {
			return err
		}
	}
	return nil
}

// Commit implements routing.Store.
func (c Cupboard) Commit(_ context.Context, changes []routing.Record) error {
	for _, change := range changes {
		if change.Data == nil {
			delete(c, change.Key)
		} else {
			c[change.Key] = append([]byte(nil), change.Data...)
		}
	}
	return nil
}

func ExampleStore() {
	ctx, cupboard := context.Background(), Cupboard{}

	// One process accepts a task, and ends.
	hub, err := routing.NewHub(routing.Options{Store: cupboard})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = hub.Declare(Shout.Name())
	_, err = Shout.Submit(ctx, hub, "hello", routing.ID("greeting"))
	fmt.Println(err, hub.Counts().Accepted)
	hub.Close(nil)

	// The next one goes on with it. Submitting it once more finds the one there is.
	hub, err = routing.NewHub(routing.Options{Store: cupboard})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hub.Close(nil)
	greeting, err := Shout.Submit(ctx, hub, "hello", routing.ID("greeting"))
	fmt.Println(err, hub.Counts().Accepted, greeting.Status())
	// Output:
	// <nil> 1
	// <nil> 1 waiting
}
