package test

import (
	"context"
	"fmt"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
)

// Deposit is a type of task: an amount in, the balance out.
var Deposit = routing.NewType[int, int]("deposit")

// account is an agent with state.
type account struct{ balance int }

func (a *account) Handle(ctx context.Context, amount int) (int, error) {
	if info, _ := routing.FromContext(ctx); amount == 13 && info.Attempt == 1 {
		a.balance = -1 // it is about to break, and what it has in its hands with it
		panic("thirteen")
	}
	a.balance += amount
	return a.balance, nil
}

func (a *account) Snapshot() (int, error) { return a.balance, nil }
func (a *account) Restore(balance int) error {
	a.balance = balance
	return nil
}

func newAccount() *account { return &account{} }

// An agent with state is a value. With Snapshot and Restore its next incarnation goes on where it was.
func Example_stateful() {
	tree, err := actors.Start(context.Background(), actors.Supervisor{
		ID:       "root",
		Children: []actors.Child{actors.Stateful("account", Deposit, newAccount)},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Stop(context.Background())

	for _, amount := range []int{10, 20, 13} {
		fmt.Println(Deposit.Do(context.Background(), tree, amount))
	}
	// Output:
	// 10 <nil>
	// 30 <nil>
	// 43 <nil>
}
