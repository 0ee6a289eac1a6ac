package main

import "github.com/mistersmith/mistersmith/routing"

// taskRouting is what a task costs on its way through the hub of a tree, and back.
//
// Ours does more on that way than its peers: the task is recorded before it is accepted, leased to an agent that its supervisor may restart
// at any moment, run with a context that ends with its deadline, its lease or its agent, and settled once; the result is remembered. A
// request of protoactor's is lost with its actor, and is known to nobody but its future.
//
//   - All contenders have eight workers and a handler that returns at once.
//   - A future of protoactor's has a time limit, and so a timer; a task without a deadline has none.
//   - "bare replies" are requests whose answers go to a process that counts them: nobody knows which answer belongs to which request.
//   - Our tree has its defaults: 100,000 results are remembered. Nobody has subscribed to its events.
//   - Only the durable case has a store.
var taskRouting = part{"routing", func(s size) ([]benchmark, []string, func()) {
	return []benchmark{
		oneInFlight(s), manyInFlight(s), waitingTasks(s),
		spokes(s, "least loaded", routing.LeastLoaded), spokes(s, "power of two", func() routing.Balancer { return routing.PowerOfTwo() }),
		spokes(s, "consistent hash", func() routing.Balancer { return routing.ConsistentHash() }),
		waitingMemory(), durableTasks(s),
	}, nil, func() {}
}}
