package actors

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/mistersmith/mistersmith/internal/supervise"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// Fault is one thing that is wrong with a spec.
type Fault struct {
	Path    string // where
	Problem string // what, with the bound

	err error // that errors.Is finds; nil for most
}

// SpecError lists everything that is wrong with a spec. Nothing of it was started.
type SpecError struct{ Faults []Fault }

func (e *SpecError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.Path + ": " + f.Problem
	}
	return "invalid spec: " + strings.Join(lines, "; ")
}

// Unwrap returns those faults that have a sentinel, such as ErrKindChange.
func (e *SpecError) Unwrap() []error {
	var errs []error
	for _, f := range e.Faults {
		if f.err != nil {
			errs = append(errs, f.err)
		}
	}
	return errs
}

// nodeSpec is a validated spec with all defaults filled in. Exactly one of the pointers is set, but for rare.
type nodeSpec struct {
	id, path string
	kind     Kind
	madeUp   bool // the ID
	life     Lifecycle

	supervisor *supervisorSpec
	agent      *AgentSpec
	actor      *ActorSpec

	version uint64    // of two specs for one node, the higher was given later; 0 before any Reconfigure
	rare    *rareSpec // nil for most; isn't changed once the spec is compiled
}

// shutdown is how long a node may take to stop: 0 is a brutal kill, negative is no limit.
func (s *nodeSpec) shutdown() time.Duration {
	switch d := s.life.Shutdown; {
	case d == BrutalKill:
		return 0
	case d == NoLimit:
		return -1
	default:
		return d
	}
}

// rareSpec is what few specs have, apart because there may be many of the others.
type rareSpec struct {
	breaker  *Breaker
	external *External
	args     []any    // of an instance
	circuits []string // of an agent: the paths of the breakers that it names
}

// rarely is what few specs have, or nothing.
func (s *nodeSpec) rarely() rareSpec {
	if s.rare == nil {
		return rareSpec{}
	}
	return *s.rare
}

// date gives a spec, and all below it, a version.
func (s *nodeSpec) date(version uint64) {
	s.version = version
	if s.supervisor != nil {
		for _, child := range s.supervisor.children {
			child.date(version)
		}
	}
}

type supervisorSpec struct {
	Supervisor
	children []*nodeSpec // of the static children, in start order
	template *nodeSpec   // of a dynamic supervisor
}

// source is the spec as it was given.
func (s *supervisorSpec) source() Supervisor {
	given := s.Supervisor
	if len(given.Children) == 0 {
		for _, child := range s.children {
			given.Children = append(given.Children, child.source())
		}
	}
	return given
}

// forgetChildren lets go of the children's specs as they were given, if the compiled ones have all of it: those of plain actors do.
func (s *supervisorSpec) forgetChildren() {
	for _, child := range s.Children {
		if _, ok := child.(ActorSpec); !ok {
			return
		}
	}
	s.Children = nil
}

// Policy returns the restart policy with all defaults filled in.
func (s *supervisorSpec) Policy() strategies.RestartPolicy { return s.Strategy.Policy().WithDefaults() }

// source is the spec as it was given.
func (s *nodeSpec) source() Child {
	switch {
	case s.supervisor != nil:
		return s.supervisor.source()
	case s.agent != nil:
		return *s.agent
	case s.actor != nil:
		return *s.actor
	case s.rarely().external != nil:
		return *s.rare.external
	default:
		return *s.rare.breaker
	}
}

// machine is what the state machine needs to know.
func (s *nodeSpec) machine() supervise.Spec {
	return supervise.Spec{
		ID:          s.id,
		Restart:     supervise.Restart(s.life.Restart),
		Significant: s.life.Significant,
		Supervisor:  s.kind == KindSupervisor || s.kind == KindRoot,
		BrutalKill:  s.life.Shutdown == BrutalKill,
		Data:        s,
	}
}

// machine configures the state machine of one incarnation.
func (s *supervisorSpec) machine() supervise.Config {
	c := supervise.Config{
		Strategy:     s.Strategy,
		Policy:       s.Policy(),
		AutoShutdown: supervise.AutoShutdown(s.AutoShutdown),
		Random:       rand.Float64,
	}
	c.Children = make([]supervise.Spec, 0, len(s.children))
	for _, child := range s.children {
		c.Children = append(c.Children, child.machine())
	}
	if s.template != nil {
		t := s.template.machine()
		c.Template = &t
	}
	return c
}

// compiler turns specs into nodeSpecs and collects every fault on the way.
type compiler struct {
	policy func(Kind) strategies.RestartPolicy // the tree's default; zero when there is none
	auto   AutoShutdown                        // of the supervisor whose children are compiled
	out    []*nodeSpec
	faults []Fault
}

func (c *compiler) fault(path, format string, args ...any) {
	c.faults = append(c.faults, Fault{Path: path, Problem: fmt.Sprintf(format, args...)})
}

// refuse enters a fault that has a sentinel.
func (c *compiler) refuse(path string, err error) {
	c.faults = append(c.faults, Fault{path, err.Error(), err})
}

func (c *compiler) err() error {
	if len(c.faults) == 0 {
		return nil
	}
	return &SpecError{c.faults}
}

// add checks what all kinds have in common.
func (c *compiler) add(s *nodeSpec, parent string) *nodeSpec {
	s.path = parent + "/" + s.id
	if parent == "" {
		s.path = s.id
	}
	switch {
	case s.id == "":
		c.fault(s.path, "ID is empty")
	case strings.ContainsAny(s.id, "/@$"):
		c.fault(s.path, "ID %q must not contain '/', '@' or '$'", s.id)
	}
	l := &s.life
	if l.Restart > Temporary {
		c.fault(s.path, "Restart is %d, must be Permanent, Transient or Temporary", l.Restart)
	}
	if l.Significant && l.Restart == Permanent {
		c.fault(s.path, "Significant needs Restart Transient or Temporary: a permanent child never ends for good")
	}
	if l.Significant && c.auto == AutoShutdownNever {
		c.fault(s.path, "Significant needs an AutoShutdown of its supervisor")
	}
	if l.Overflow > DropOldest {
		c.fault(s.path, "Overflow is %d, must be Reject or DropOldest", l.Overflow)
	}
	if l.Liveness != nil {
		if s.supervisor != nil {
			c.fault(s.path, "Liveness isn't for supervisors")
		}
		for _, fault := range l.Liveness.faults() {
			c.fault(s.path, "%s", fault)
		}
	}
	if l.Queue < 0 {
		c.fault(s.path, "Queue is %d, must be at least 1, or 0 for %d", l.Queue, DefaultQueue)
	}
	if l.Queue == 0 {
		l.Queue = DefaultQueue
	}
	shutdown, start := DefaultShutdown, DefaultStartTimeout
	if s.supervisor != nil {
		shutdown, start = NoLimit, NoLimit
	}
	c.duration(s.path, "Shutdown", &l.Shutdown, shutdown, "BrutalKill")
	c.duration(s.path, "StartTimeout", &l.StartTimeout, start, "")
	c.out = append(c.out, s)
	return s
}

func (c *compiler) duration(path, field string, d *time.Duration, zero time.Duration, negative string) {
	switch {
	case *d == 0:
		*d = zero
	case *d == BrutalKill && negative != "":
	case *d < 0:
		c.fault(path, "%s is %s, must be positive, or 0 for the default", field, *d)
	}
}

// inner compiles the children of a supervisor.
func (c *compiler) inner(s *nodeSpec) {
	sub := compiler{policy: c.policy, auto: s.supervisor.AutoShutdown, out: make([]*nodeSpec, 0, len(s.supervisor.Children))}
	for i, child := range s.supervisor.Children {
		if child == nil {
			sub.fault(s.path, "Children[%d] is nil", i)
			continue
		}
		child.compile(&sub, s.path)
	}
	seen := make(map[string]bool, len(sub.out))
	for _, child := range sub.out {
		if seen[child.id] {
			sub.fault(child.path, "ID is used twice")
		}
		seen[child.id] = true
	}
	s.supervisor.children = sub.out
	c.faults = append(c.faults, sub.faults...)
	if s.supervisor.Template != nil {
		c.template(s)
	}
	s.supervisor.forgetChildren()
}

// template compiles the template of a dynamic supervisor.
func (c *compiler) template(s *nodeSpec) {
	if len(s.supervisor.Children) > 0 {
		c.fault(s.path, "Template excludes Children: put them below a supervisor of their own")
	}
	if name := s.supervisor.Strategy.String(); name != "one_for_one" {
		c.fault(s.path, "Template needs the strategy one_for_one, not %s", name)
	}
	sub := compiler{policy: c.policy, auto: s.supervisor.AutoShutdown}
	s.supervisor.Template.compile(&sub, s.path)
	c.faults = append(c.faults, sub.faults...)
	if len(sub.out) != 1 {
		c.fault(s.path, "Template is %d children, must be one", len(sub.out))
		return
	}
	s.supervisor.template = sub.out[0]
	if sub.out[0].life.Significant {
		c.fault(sub.out[0].path, "Significant isn't for instances of a template: they come and go")
	}
}

func (s Supervisor) compile(c *compiler, parent string) {
	kind := KindSupervisor
	if parent == "" {
		kind = KindRoot
	}
	if s.Strategy == nil {
		s.Strategy = strategies.OneForOne(strategies.RestartPolicy{})
	}
	if s.Strategy.Policy().IsZero() && c.policy != nil {
		s.Strategy = s.Strategy.WithPolicy(c.policy(kind))
	}
	spec := c.add(&nodeSpec{id: s.ID, kind: kind, life: s.Lifecycle, supervisor: &supervisorSpec{Supervisor: s}}, parent)
	if err := s.Strategy.Policy().Validate(); err != nil {
		c.fault(spec.path, "Strategy: %v", err)
	}
	if s.AutoShutdown > AutoShutdownAll {
		c.fault(spec.path, "AutoShutdown is %d, must be AutoShutdownNever, AutoShutdownAny or AutoShutdownAll", s.AutoShutdown)
	}
	c.inner(spec)
}

func (s ActorSpec) compile(c *compiler, parent string) {
	both := &struct {
		nodeSpec
		ActorSpec
	}{nodeSpec{id: s.ID, kind: KindActor, life: s.Lifecycle}, s}
	both.actor = &both.ActorSpec
	spec := c.add(&both.nodeSpec, parent)
	if s.Producer == nil {
		c.fault(spec.path, "Producer is nil")
	}
}

func (s AgentSpec) compile(c *compiler, parent string) {
	spec := c.add(&nodeSpec{id: s.ID, kind: KindAgent, life: s.Lifecycle, agent: &s}, parent)
	if err := routing.ValidatePath(spec.path); err != nil {
		c.fault(spec.path, "%v", err)
	}
	if s.New == nil {
		c.fault(spec.path, "New is nil")
	}
	if len(s.Types) == 0 {
		c.fault(spec.path, "Types is empty: an agent handles at least one type of task")
	}
	if s.noHandler {
		c.fault(spec.path, "handler is nil")
	}
	if s.misfit != "" {
		c.fault(spec.path, "handler: %s", s.misfit)
	}
	s.Snapshot.faults(func(format string, args ...any) { c.fault(spec.path, format, args...) })
	for i, t := range s.Types {
		if slices.Contains(s.Types[:i], t) {
			c.fault(spec.path, "Types has %q twice", t)
		}
		if err := routing.ValidateType(t); err != nil {
			c.fault(spec.path, "Types: %v", err)
		}
	}
	if s.Credits < 0 || s.Credits > math.MaxInt32 {
		c.fault(spec.path, "Credits is %d, must be at least 1, or 0 for 1", s.Credits)
	}
	if s.Credits == 0 {
		s.Credits = 1
	}
}

func (b Breaker) compile(c *compiler, parent string) {
	spec := c.add(&nodeSpec{id: b.ID, kind: KindBreaker, life: b.Lifecycle, rare: &rareSpec{breaker: &b}}, parent)
	if err := b.Config.Validate(); err != nil {
		c.fault(spec.path, "Config: %v", err)
	}
	for _, fault := range b.Stream.faults() {
		c.fault(spec.path, "Stream: %s", fault)
	}
}

func (e External) compile(c *compiler, parent string) {
	spec := c.add(&nodeSpec{id: e.ID, kind: KindBreaker, life: e.Lifecycle, rare: &rareSpec{external: &e}}, parent)
	if err := e.Config.Validate(); err != nil {
		c.fault(spec.path, "Config: %v", err)
	}
	for _, fault := range e.Stream.faults() {
		c.fault(spec.path, "Stream: %s", fault)
	}
}
