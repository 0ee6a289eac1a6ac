package actors

import (
	"context"
	"errors"
	"math"
	"reflect"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// Child is a spec of something that can hang below a supervisor: [Supervisor], [AgentSpec], [ActorSpec], [Breaker], [External], or what [Pool] returns.
// Specs are data; the same one may be used in several places.
type Child interface {
	compile(c *compiler, parent string)
	named(id string) Child // a copy with another ID
}

func (s Supervisor) named(id string) Child { s.ID = id; return s }
func (s ActorSpec) named(id string) Child  { s.ID = id; return s }
func (s AgentSpec) named(id string) Child  { s.ID = id; return s }
func (b Breaker) named(id string) Child    { b.ID = id; return b }
func (e External) named(id string) Child   { e.ID = id; return e }

// Restart says when a child that ended by itself is started again.
type Restart uint8

const (
	Permanent Restart = iota // always
	Transient                // only after an abnormal exit: a crash or a kill
	Temporary                // never; its spec goes with it
)

// String returns OTP's word.
func (r Restart) String() string { return [...]string{"permanent", "transient", "temporary"}[r] }

// AutoShutdown says whether a supervisor ends with its significant children.
type AutoShutdown uint8

const (
	AutoShutdownNever AutoShutdown = iota
	AutoShutdownAny                // when any significant child has ended by itself and isn't restarted
	AutoShutdownAll                // when the last significant child has
)

// String returns OTP's word.
func (a AutoShutdown) String() string { return [...]string{"never", "any", "all"}[a] }

// Shutdown times with a meaning of their own.
const (
	BrutalKill time.Duration = -1            // fenced off at once, without a word
	NoLimit    time.Duration = math.MaxInt64 // waited for as long as it takes
)

// Defaults of a Lifecycle.
const (
	DefaultShutdown     = 5 * time.Second
	DefaultStartTimeout = 30 * time.Second
)

// Lifecycle is how a supervisor treats a child. Its zero value is a permanent child with the defaults below.
type Lifecycle struct {
	Restart Restart

	// Significant children may end their supervisor: see AutoShutdown. It needs an auto-shutdown there, and a child that isn't permanent.
	Significant bool

	// Shutdown is how long the child may take to stop before it is abandoned. 0 means DefaultShutdown, for supervisors NoLimit.
	Shutdown time.Duration

	// StartTimeout is how long the child may take to come up. 0 means DefaultStartTimeout, for supervisors NoLimit.
	StartTimeout time.Duration

	// Liveness says when the child counts as hung, and what then. nil means the tree's default for its kind. It isn't for supervisors: they run
	// no code of yours but Init, whose time is the start timeout.
	Liveness *Liveness

	// Queue is how many messages may wait; 0 means DefaultQueue. Overflow says what becomes of one more.
	Queue    int
	Overflow Overflow
}

// Supervisor is the spec of a supervisor: a strategy, and children that are started in order and stopped in reverse.
type Supervisor struct {
	ID string // without '/', '@' and '$'

	// Strategy says what a child's failure means to its siblings. nil means strategies.OneForOne. A zero policy means the tree's default
	// for supervisors, if it has one.
	Strategy strategies.Strategy

	Children     []Child
	AutoShutdown AutoShutdown

	// Template makes the supervisor dynamic: it begins with no children, and Tree.StartInstance adds as many as are wanted, all of this
	// spec, each with an ID of its own. They are restarted one for one, forgotten when they end for good, and stopped all at once when
	// the supervisor stops. It excludes Children, and any other strategy than strategies.OneForOne.
	Template Child

	// Init, if set, runs on the supervisor's goroutine before its first child is started, at every start. ctx ends when the
	// supervisor is told to stop. An error is a start error; ErrIgnore means: don't run this supervisor.
	Init func(ctx context.Context) error

	Lifecycle
}

// Actor is the spec of a permanent child that runs any protoactor actor, with the options it would be given elsewhere. The
// mailbox, the spawn function and the dispatcher are the tree's; a supervisor strategy rules the actor's own children.
//
// The producer is called for each incarnation, within the start timeout. An actor whose handling of Started panics, or calls
// [Exit], has failed to start.
func Actor(id string, producer actor.Producer, options ...actor.PropsOption) ActorSpec {
	return ActorSpec{ID: id, Producer: producer, Options: options}
}

// ActorSpec is the spec of a child that runs any protoactor actor. See [Actor].
type ActorSpec struct {
	ID       string
	Producer actor.Producer
	Options  []actor.PropsOption
	Lifecycle
}

// With returns the spec with another lifecycle.
func (s ActorSpec) With(l Lifecycle) ActorSpec { s.Lifecycle = l; return s }

// AgentSpec is the spec of an agent: something that handles tasks. See [Agent] and [Stateful].
type AgentSpec struct {
	ID string // as that of a Supervisor; with those above it printable, and at most 4,096 bytes: it is part of the ids of tasks

	// New makes the handlers of one incarnation, and is called for each. They may share state: with Credits above 1 they
	// run concurrently.
	New func() AgentCode

	// Types that the handlers are for. They must be the same for each incarnation.
	Types []string

	// Credits is how many tasks the agent handles at once; 0 means 1. With a store, a task begins when that is recorded: several credits share the commits.
	Credits int

	// Guards names the breakers ([Breaker], [External]) without which the agent's tasks come to nothing, as [Guard] does: the ID of one that hangs below a
	// supervisor above the agent, the nearest first, or the path of any. While one is open the agent is given no tasks; while it is half-open, all agents
	// that name it are given HalfOpenMaxCalls at a time. Tasks wait meanwhile, uncharged.
	Guards []string
	// Snapshot says when the agent's state is saved, if its code has a Snapshot.
	Snapshot SnapshotPolicy

	Lifecycle

	stateless bool   // New is ours, and does nothing
	noHandler bool   // the function that was given is nil
	misfit    string // what is wrong with the methods of its handler
}

// AgentCode is what one incarnation of an agent runs.
type AgentCode struct {
	Handlers []routing.Handler
	Start    func(ctx context.Context) error // optional; an error is a start error, ErrIgnore means: don't run it
	Stop     func(ctx context.Context)       // optional; after the last handler has returned, within the shutdown time; not after a failure

	// Snapshot returns the state, and Restore, called before Start, goes on from it; optional, but there are both or neither. A []byte is saved as it is, anything else as
	// JSON. What Restore refuses with an error, or by a panic, is not used: New is called once more. See [SnapshotPolicy].
	Snapshot func() (any, error)
	Restore  func(Saved) error
}

// Saving returns the spec with another snapshot policy.
func (s AgentSpec) Saving(p SnapshotPolicy) AgentSpec { s.Snapshot = p; return s }

// With returns the spec with another lifecycle.
func (s AgentSpec) With(l Lifecycle) AgentSpec { s.Lifecycle = l; return s }

// GuardedBy returns the spec with other Guards.
func (s AgentSpec) GuardedBy(breakers ...string) AgentSpec { s.Guards = breakers; return s }

// Agent is the spec of a permanent agent that handles tasks of one type with a function. An error of the function is the task's
// outcome; a panic is the agent's failure.
func Agent[In, Out any](id string, t routing.Type[In, Out], handle func(context.Context, In) (Out, error)) AgentSpec {
	code := AgentCode{Handlers: []routing.Handler{routing.HandlerOf(t, handle)}}
	return AgentSpec{ID: id, Types: []string{t.Name()}, New: func() AgentCode { return code }, stateless: true, noHandler: handle == nil}
}

// Handler is an agent with state: it handles tasks of one type. It may also have a method Start(context.Context) error that runs before
// the first task, and a method Stop(context.Context) that runs after the last. With methods Snapshot() (S, error) and Restore(S) error, of any type S that JSON can encode, its next
// incarnation, in a later process too if the tree has a store, goes on from the state that was saved last: see [SnapshotPolicy].
type Handler[In, Out any] interface {
	Handle(context.Context, In) (Out, error)
}

// Stateful is the spec of a permanent agent whose incarnations each have a value of their own: one shared by them would be
// shared with an incarnation that hangs.
func Stateful[In, Out any, H Handler[In, Out]](id string, t routing.Type[In, Out], construct func() H) AgentSpec {
	_, misfit := snapshotMethods(reflect.TypeFor[H]())
	return AgentSpec{ID: id, Types: []string{t.Name()}, misfit: misfit, New: func() AgentCode {
		h := construct()
		if v := reflect.ValueOf(h); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			panic(errors.New("constructor returned nil"))
		}
		code := AgentCode{Handlers: []routing.Handler{routing.HandlerOf(t, h.Handle)}}
		if s, ok := any(h).(interface{ Start(context.Context) error }); ok {
			code.Start = s.Start
		}
		if s, ok := any(h).(interface{ Stop(context.Context) }); ok {
			code.Stop = s.Stop
		}
		if has, _ := snapshotMethods(reflect.TypeOf(h)); has {
			bindSnapshots(&code, h)
		}
		return code
	}}
}

// Breaker is the spec of a circuit breaker that guards calls to something outside. Agents call through it with [Guard], and name it in their Guards.
// Its state, and its Config, are those of the node: they survive restarts.
type Breaker struct {
	ID     string
	Config breaker.Config // the zero value has the defaults of package breaker; an empty Name becomes the node's path

	// Stream says when an answer that comes in pieces has stalled: see GuardStream. Its zero value means phi 8, between 1 s and 2 min.
	Stream Liveness
	Lifecycle
}

// External is the spec of all that guards one external service: a [Breaker] with a bulkhead and a rate limiter before it, which calls pass in the order that
// breaker.External has. Whoever waits for a place or a token does so on its own goroutine, not in the node's queue.
//
// Retry makes one attempt unless it says otherwise, for calls of tasks are tried again by the hub: see [Guard].
type External struct {
	ID     string
	Config breaker.ExternalConfig // the zero value has the defaults of package breaker; an empty Name becomes the node's path
	Stream Liveness               // as that of a Breaker
	Lifecycle
}
