package test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
)

// numeral is a message of these tests.
type numeral int

// The event of an actor that hangs has the message that it hangs in, wherever that came from, as the event of one that crashes has. Nothing else is lost.
func TestTheMessageThatAnActorHangsInIsInTheFailureEvent(t *testing.T) {
	const hangsIn = numeral(-1)
	tests := map[string]struct {
		messages func(send func(messages ...any), opens *gate) // the actor is busy with one until opens
		dropped  int                                           // for want of room
		queue    int
	}{
		"the first of all":           {messages: func(send func(...any), opens *gate) { opens.open(); send(hangsIn, numeral(1), numeral(2)) }},
		"one that comes alone":       {messages: func(send func(...any), opens *gate) { opens.open(); synctest.Wait(); send(hangsIn) }},
		"the first of many":          {messages: func(send func(...any), opens *gate) { send(hangsIn, numeral(1), numeral(2), numeral(3)); opens.open() }},
		"one in the midst of many":   {messages: func(send func(...any), opens *gate) { send(numeral(1), numeral(2), hangsIn, numeral(3)); opens.open() }},
		"the last of many":           {messages: func(send func(...any), opens *gate) { send(numeral(1), numeral(2), numeral(3), hangsIn); opens.open() }},
		"one of more than are taken": {messages: func(send func(...any), opens *gate) { send(append(numbers(100), hangsIn, numeral(1))...); opens.open() }},
		"one while others are stolen": {
			messages: func(send func(...any), opens *gate) {
				send(numeral(1), numeral(2), hangsIn, numeral(3), numeral(4), numeral(5))
				opens.open()
				synctest.Wait()
				send(numbers(6)...)
			},
			dropped: 3,
			queue:   6,
		},
	}
	for name, tt := range tests {
		for _, interrupted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, interrupted %t", name, interrupted), func(t *testing.T) {
				inVirtualTime(t, func(t *testing.T) {
					opens, back := newGate(t), newGate(t)
					events := actors.NewSubscription(1000, actors.Exited, actors.Failed, actors.Hung)
					var handled atomic.Int64
					tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
						plain("a", hooks{receive: func(ctx actor.Context) {
							n, ok := ctx.Message().(numeral)
							switch {
							case !ok:
							case n == hangsIn:
								back.wait()
							default:
								handled.Add(1)
							}
						}}).With(actors.Lifecycle{Queue: tt.queue, Overflow: actors.DropOldest, Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: 20 * time.Second}}),
					}}, actors.WithSubscription(events))
					sent := 0
					send := func(messages ...any) {
						sent += len(messages)
						for _, m := range messages {
							send(tree, "root/a", m)
						}
					}
					send(do(func(actor.Context) { opens.wait() }))
					synctest.Wait()
					tt.messages(send, opens)
					synctest.Wait()
					if interrupted { // by a control message, so that the actor has to give back what it has taken
						incarnation, ok := tree.ActorSystem().ProcessRegistry.GetLocal("root/a@1")
						require.True(t, ok)
						incarnation.SendSystemMessage(actor.NewPID("", "root/a@1"), &actor.Unwatch{Watcher: tree.PID("root/a")})
					}
					time.Sleep(21 * time.Second)
					synctest.Wait()
					requireRunning(t, tree, "root/a", 2)
					back.open()
					synctest.Wait()
					require.EqualValues(t, sent-2-tt.dropped, handled.Load(), "all but the first two")
					var exited []actors.Event
					for _, e := range pending(events) {
						if e.Kind == actors.Exited {
							exited = append(exited, e)
						}
					}
					require.Len(t, exited, 1)
					require.ErrorIs(t, exited[0].Err, actors.ErrHung)
					require.Equal(t, hangsIn, exited[0].Message)
					stop(t, tree)
				})
			})
		}
	}
}

func numbers(n int) []any {
	messages := make([]any, n)
	for i := range messages {
		messages[i] = numeral(i + 1)
	}
	return messages
}
