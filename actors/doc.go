// Package actors runs supervision trees: agents and actors on protoactor-go that keep working while their code fails.
//
// A tree is described by specs, which are data, and started as a whole:
//
//	var Summarize = routing.NewType[Doc, Summary]("summarize")
//
//	tree, err := actors.Start(ctx, actors.Supervisor{
//		ID:       "root",
//		Strategy: strategies.OneForAll(strategies.MaxRestarts(3, time.Minute)),
//		Children: []actors.Child{
//			actors.Breaker{ID: "llm"},
//			actors.Supervisor{
//				ID:       "research",
//				Strategy: strategies.OneForOne(strategies.ExponentialBackoff()),
//				Children: []actors.Child{actors.Pool(4, actors.Agent("summarizer", Summarize, summarize).GuardedBy("llm"))},
//			},
//			actors.Actor("index", newIndex), // any protoactor actor
//		},
//	})
//	if err != nil { … }
//	defer tree.Stop(context.Background())
//
//	summary, err := Summarize.Do(ctx, tree, doc)
//
// # Names and incarnations
//
// Every node has a path, "root/research/summarizer-3", and a logical PID that stays valid for its life. Behind it stands the node's
// queue, and at any time at most one incarnation, "…/summarizer-3@7": a fresh protoactor actor that takes its messages from there. A
// restart is always a stop, waited for, and a new incarnation; messages wait meanwhile, none is lost and none is reordered. Only the message
// whose handling crashed is gone: it is in the event Exited.
//
// # What is promised
//
// Supervisors behave as OTP's do: restart types, strategies, restart intensity, order of start and stop, significant children, dynamic
// calls. Children start in order, each up before the next, and stop in reverse. Panics in a handler, in a lifecycle hook, in a continuation
// or in a constructor end the incarnation and nothing else. A child that doesn't stop within its shutdown time is abandoned: fenced off,
// counted and replaced under the same name. Agents' tasks are routed by the tree's hub and settle exactly once (package routing).
//
// # The outside world
//
// Calls to it go through a [Breaker] or an [External] by [Guard]. Its failures are outcomes of tasks, and no restart is spent on them. An agent that names a breaker in
// its Guards is given no tasks while that is open; they wait, uncharged.
//
// # What can't be promised
//
// A goroutine can't be killed in Go. Code that hangs keeps its goroutine, and what it holds, until it returns; whatever it does through its
// context changes nothing in the tree. Tree.Abandoned lists such code, and a tree that collects too much of it stops with ErrAbandoned. A panic
// in a goroutine that user code starts itself, and Go's fatal errors (concurrent map writes, out of memory), end the process.
//
// # Who runs what
//
// Every supervisor, actor, hub and breaker runs on its own mailbox, one message at a time. A supervisor never runs user code but its
// Init; starts and stops of its children run beside it. Handlers of agents run in job goroutines. Waiting calls of Tree may come from
// anywhere but an actor's Receive. Callbacks (deciders, balancers, classifiers) run where they are needed, must be quick, and fall back to the
// default if they panic.
package actors
