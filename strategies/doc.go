// Package strategies holds what a supervisor decides when a child fails: which children go down together ([Strategy]), how often
// and how fast they may come back ([RestartPolicy], [Backoff], [Budget]), and which failures deserve it at all ([Decider]). It
// decides; it doesn't spawn, wait or keep time.
//
//	props := actor.PropsFromProducer(newParent,
//		actor.WithSupervisor(strategies.RestForOne(strategies.MaxRestarts(3, time.Minute))))
//
// A strategy does the same thing in three places, each as well as the place allows.
//
// # On a MisterSmith supervisor
//
// The parent is a [Host]: the strategy hands its [Decision] over, and the supervisor carries it out by OTP's rules. Children stop
// in reverse order, one after the other, wait out the backoff, and start in order. All promises of this package hold.
//
// # On a plain protoactor parent
//
// Given by actor.WithSupervisor to an actor that is no Host, the strategy works through protoactor's own directives:
//
//   - Budget, decider, [WhenSpent] and escalation are as on a Host: one budget for all children, new for each incarnation of the
//     parent (and after each escalation, as a parent that is a function can't be told from its former self).
//   - A restart is protoactor's: immediate, in place, with PID and mailbox kept. There is NO BACKOFF, and nobody waits for anybody: the
//     children of a group get their Restart in the order in which Children() names them, which is start order only until a
//     child has ended, and each follows as soon as it is free. Siblings are suspended until they have restarted.
//   - Two children of a group that fail together cause two restarts, as the second failure can't be told from a new one.
//   - Only panics are seen. A child that stops by itself stays stopped.
//   - [actor.StopDirective] stops the failed child alone. Escalation stops the group first, in reverse order. A parent that
//     has nothing above it stops, instead of being restarted by protoactor's global default.
//   - A child that panics while it stops isn't restarted but helped to its end, by a Terminated message that names the child
//     itself; with children of its own it can't be helped, and stays.
//     A child whose Restarting hook panics always is restarted for as long as the budget lasts: under [AlwaysRestart] for ever.
//   - A child that is stopped from elsewhere at the moment of a group restart, or whose parent is being stopped, may be revived by the
//     Restart that follows the Stop (protoactor has no guard against it). Children that the strategy itself stopped are safe.
//
// # On a guardian
//
// Given by actor.WithGuardian to top-level actors, each is on its own: the group is the child, the budget is per child, without
// backoff, and where a failure would go one level up or the supervisor would stop, the child stops, as there is nobody above.
//
// # Errors and panics
//
// The reason of a failure reaches a decider as an error: the very error the child panicked with, or a [*PanicError] around any
// other value. HandleFailure never panics, whatever deciders, hosts and subscribers do.
package strategies
