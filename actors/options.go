package actors

import (
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

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
	liveness     map[Kind]Liveness
	look         time.Duration
	meters       metric.MeterProvider
	tracers      trace.TracerProvider

	subscriptions []*Subscription
}

func newOptions(opts []Option) options {
	o := options{policies: make(map[Kind]strategies.RestartPolicy), liveness: make(map[Kind]Liveness), abandonLimit: DefaultAbandonLimit, look: DefaultLivenessLook}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// compile checks the options and the spec of a tree, and names everything that is wrong with either.
func (o *options) compile(root Supervisor) (*nodeSpec, error) {
	c := compiler{policy: func(k Kind) strategies.RestartPolicy { return o.policies[k] }}
	root.compile(&c, "")
	c.resolveGuards(nil)
	if !o.storm.isNone() && (o.storm.restarts < 1 || o.storm.per <= 0) {
		c.fault("WithRestartRate", "%d in %s, must be at least 1 in a positive time", o.storm.restarts, o.storm.per)
	}
	if o.abandonLimit < 0 {
		c.fault("WithAbandonLimit", "%d, must be at least 0", o.abandonLimit)
	}
	for k, p := range o.policies {
		if k != KindRoot && k != KindSupervisor {
			c.fault("WithPolicy("+k.String()+")", "only KindRoot and KindSupervisor have a restart policy")
		}
		if err := p.Validate(); err != nil {
			c.fault("WithPolicy("+k.String()+")", "%v", err)
		}
	}
	for k, l := range o.liveness {
		if k != KindAgent && k != KindActor {
			c.fault("WithLiveness("+k.String()+")", "only KindAgent and KindActor are watched")
		}
		for _, fault := range l.faults() {
			c.fault("WithLiveness("+k.String()+")", "%s", fault)
		}
	}
	if o.look == 0 || lookClock(o.look).Validate() != nil {
		c.fault("WithLivenessLook", "%s, must be between 100µs and 10s", o.look)
	}
	return c.out[0], c.err()
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

// WithLiveness is the liveness of nodes of one kind, KindAgent or KindActor, whose spec has none.
func WithLiveness(k Kind, l Liveness) Option { return func(o *options) { o.liveness[k] = l } }

// WithLivenessLook is how often the tree looks at what is busy, and so about how exactly it measures silences. The default is
// DefaultLivenessLook, and between 100 µs and 10 s. While nothing is busy it doesn't look.
func WithLivenessLook(every time.Duration) Option { return func(o *options) { o.look = every } }

// WithHub configures the hub that routes the tree's tasks. Its OnEvent is called besides the tree's own events.
func WithHub(h routing.Options) Option { return func(o *options) { o.hub = h } }

// WithStore makes tasks, and snapshots of agents, outlive the process: what is in the store goes on, and everything that changes is recorded in it. See Store in
// [routing.Options] for what that means and costs; package boltstore keeps one in a file. The store is yours to close, after Stop.
func WithStore(s routing.Store) Option { return func(o *options) { o.store = s } }

// WithSubscription subscribes before the start, so that nothing of it is missed. A subscription belongs to one tree.
func WithSubscription(s *Subscription) Option {
	return func(o *options) { o.subscriptions = append(o.subscriptions, s) }
}
