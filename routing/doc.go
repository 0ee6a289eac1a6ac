// Package routing hands tasks to the agents that can do them, and loses none.
//
// A task has a [Type], made once per kind of task. It is submitted to a [Hub], which accepts it into its ledger or refuses it at
// once. Agents register with the hub as spokes; the hub gives each waiting task to a spoke as a [Lease], one attempt with a number
// and a context. The spoke runs the task and settles the lease with an [Outcome]; the outcome counts only if the lease is still the
// task's current one. The submitter's [Handle] has the result.
//
//	var Double = routing.NewType[int, int]("double")
//
//	hub, err := routing.NewHub(routing.Options{})
//	pid := system.Root.Spawn(actor.PropsFromProducer(hub.Actor()))
//	spoke, err := hub.Join(routing.SpokeSpec{
//		ID: routing.SpokeID{Path: "root/doubler"}, Types: []string{Double.Name()},
//		Deliver: func(l *routing.Lease) { go work(l) }, // runs the task, then l.Settle(routing.Done(result))
//	})
//	four, err := Double.Do(ctx, hub, 2)
//
// # What becomes of a task
//
// An accepted task settles exactly once: done, failed, quarantined, cancelled or expired.
//
//   - An error is the task's outcome: it is tried again after a backoff, until [Options.MaxAttempts] attempts have ended so; then it has
//     failed. A [Permanent] error fails it at once.
//   - A crash, a hang and an attempt that outlives its time limit are charged to the task; after [Options.QuarantineAfter] of them it is
//     quarantined, with the stack of each, to be inspected, requeued or discarded.
//   - A lease given back because of something else (a spoke that leaves, an error that says "not now" by a RetryAfter() time.Duration
//     method) costs the task nothing but the time.
//   - Cancel and a passed deadline settle it at once, wherever it is; the context of a running attempt ends, and what it returns is refused.
//   - A task that needs the results of others ([After]) starts when they are done. If one ends in any other way it fails, with an [*InputError].
//   - A task that a handler submits is a subtask: it ends when its parent is cancelled, expires or fails, and is found again by the
//     parent's next attempt. A handler that awaits one holds no credit meanwhile, so a pool can't deadlock on itself. See [Detached].
//
// Execution is at least once, recording exactly once: an attempt whose lease is gone may go on running, but it changes nothing. The
// next attempt after a charged one goes to another spoke if there is one that is free or comes free soon ([Options.PreferOther]).
//
// # Which spoke gets it
//
// A [Balancer] chooses among the spokes that are free: [LeastLoaded] unless the options say otherwise, [RoundRobin], [Random], [PowerOfTwo], or
// one of the user's own. Nobody chooses when a spoke that has settled a task takes its next. One that is a [Placer], as [ConsistentHash] is,
// also gives each [Key] a spoke of its own, on which its tasks run in order. [Type.Broadcast] gives a task to all spokes.
//
// # Who does what
//
// The Hub is a plain object with one mutex. A submit that finds a spoke free leases the task itself. The actor from [Hub.Actor] is thin: it
// leases waiting tasks to spokes that have become idle, and wakes up for deadlines, time limits and backoffs. It may crash at any moment;
// while it is missing, submits are accepted, outcomes recorded, and a spoke that settles a lease is still handed its next, but what waits isn't
// given to idle spokes, and what is due comes late. Nothing is lost.
//
// What is given out next is decided by [Priority], and then by age. [Hub.Pause], [Hub.PauseType] and [Hub.PauseSpoke] stop giving
// out; [Spoke.Drain] also waits until what was given has come back. [TypeOptions] hold for a single type.
//
// Callbacks (a spoke's Deliver, [Options.OnEvent]) are called without the lock and may call the hub. A [Balancer] is called under it.
//
// What cannot be promised: a handler that ignores its context cannot be stopped. Its lease can be taken from it, its credit not: that
// comes back when it returns, or when its spoke leaves.
package routing
