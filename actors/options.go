package actors

import (
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// Option is an option of Start.
type Option func(*options)

type options struct {
	system       *actor.ActorSystem
	logger       *slog.Logger
	policies     map[Kind]strategies.RestartPolicy
	abandonLimit int
	hub          routing.Options
	store        routing.Store
	storm        storm

	subscriptions []*Subscription
}

// endSubscriptions lets those go who wait for events of a tree that will never be.
func (o *options) endSubscriptions() {
	for _, s := range o.subscriptions {
		close(s.events)
	}
}

// WithSystem runs the tree on an actor system of yours. Stopping the tree leaves the system as it is. Without it the tree has its own.
func WithSystem(system *actor.ActorSystem) Option { return func(o *options) { o.system = system } }

// WithLogger logs the tree's events, and protoactor's warnings. Without it nothing is logged.
func WithLogger(logger *slog.Logger) Option { return func(o *options) { o.logger = logger } }

// WithPolicy is the restart policy of supervisors of one kind, KindRoot or KindSupervisor, whose strategy has a zero policy.
func WithPolicy(k Kind, p strategies.RestartPolicy) Option {
	return func(o *options) { o.policies[k] = p }
}

// WithAbandonLimit is how many abandoned goroutines the tree bears before it stops with ErrAbandoned. The default is DefaultAbandonLimit.
func WithAbandonLimit(n int) Option { return func(o *options) { o.abandonLimit = n } }

// WithRestartRate is a budget of restarts for the whole tree, against storms that many supervisors are in at once: so many in so long, and as many at
// a stretch. Beyond it restarts are not refused but put off, each supervisor's own budget apart. What is healthy goes on. Without it there is none.
func WithRestartRate(restarts int, per time.Duration) Option {
	return func(o *options) { o.storm = storm{restarts, per} }
}

// WithHub configures the hub that routes the tree's tasks. Its OnEvent is called besides the tree's own events.
func WithHub(h routing.Options) Option { return func(o *options) { o.hub = h } }

// WithStore makes tasks, and snapshots of agents, outlive the process: what is in the store goes on, and everything that changes is recorded in it. See Store in
// [routing.Options] for what that means and costs; package boltstore keeps one in a file. The store is yours to close, after Stop.
func WithStore(s routing.Store) Option { return func(o *options) { o.store = s } }

// WithSubscription subscribes before the start, so that nothing of it is missed. A subscription belongs to one tree.
func WithSubscription(s *Subscription) Option {
	return func(o *options) { o.subscriptions = append(o.subscriptions, s) }
}
