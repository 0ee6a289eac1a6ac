package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/mistersmith/mistersmith/internal/supervise"
	"github.com/mistersmith/mistersmith/routing"
)

// Pool is n agents of one spec, named after it: "summarizer-1" to "summarizer-n". [Tree.Resize] changes n while it runs.
func Pool(n int, agent AgentSpec) Child { return pool{n, agent} }

type pool struct {
	size  int
	agent AgentSpec
}

func (p pool) named(id string) Child { p.agent.ID = id; return p }

// member returns the spec of one of the pool's agents, from 1.
func (p pool) member(i int) AgentSpec {
	a := p.agent
	a.ID = fmt.Sprintf("%s-%d", p.agent.ID, i)
	return a
}

func (p pool) compile(c *compiler, parent string) {
	if p.size < 1 {
		c.fault(parent+"/"+p.agent.ID, "pool of %d, must be at least 1", p.size)
	}
	for i := range p.size {
		p.member(i+1).compile(c, parent)
	}
}

// ErrNoPool says that a supervisor's spec has no pool with that name.
var ErrNoPool = errors.New("no such pool in the supervisor's spec")

// Resize makes a pool n agents large, while it runs; pool is the path of its supervisor and the pool's name, "root/research/summarizer". From then
// on that is its size, also for the next incarnations of its supervisor, until it is resized or reconfigured again.
//
// It grows by new agents, and returns when they are up. If one can't be started that is a [*StartError]; the others are there all the
// same, and RestartChild tries again. It shrinks by the agents with the highest numbers: they get no new tasks, finish those that they have, and then are
// stopped and deleted. When ctx ends before they are done, they stay as they are, finishing and getting nothing new; a further Resize goes
// on with them. Resizes of one supervisor's pools wait for each other.
func (t *Tree) Resize(ctx context.Context, pool string, n int) error {
	path, name := pool, ""
	if cut := strings.LastIndexByte(pool, '/'); cut >= 0 {
		path, name = pool[:cut], pool[cut+1:]
	}
	sup, err := t.supervisor(path)
	if err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	leave, err := t.resizes.enter(ctx, path)
	if err != nil {
		return fmt.Errorf("resize %s: %w", pool, err)
	}
	defer leave()
	r := resize{tree: t, sup: sup, path: path, name: name, size: n}
	if err := r.respec(ctx); err != nil {
		return fmt.Errorf("resize %s: %w", pool, err)
	}
	if err := errors.Join(r.grow(ctx), r.shrink(ctx)); err != nil {
		return fmt.Errorf("resize %s: %w", pool, err)
	}
	return nil
}

// resize is one Resize.
type resize struct {
	tree       *Tree
	sup        *node
	path, name string // of the supervisor, of the pool
	former     int    // size
	size       int
}

// respec puts the supervisor's spec with the pool in its new size in force. All other children keep the specs they have.
func (r *resize) respec(ctx context.Context) error {
	old := r.sup.spec()
	at := slices.IndexFunc(old.supervisor.Children, func(c Child) bool {
		p, ok := c.(pool)
		return ok && p.agent.ID == r.name
	})
	if at < 0 {
		return ErrNoPool
	}
	p := old.supervisor.Children[at].(pool)
	r.former = p.size
	fresh, inner := *old, *old.supervisor
	fresh.supervisor = &inner
	first := 0 // of the pool, among the children
	for _, c := range old.supervisor.Children[:at] {
		first += count(c)
	}
	c := compiler{policy: r.sup.policyFor, auto: old.supervisor.AutoShutdown}
	pool{r.size, p.agent}.compile(&c, r.path)
	for _, s := range c.out {
		others := slices.Concat(inner.children[:first], inner.children[first+p.size:])
		if slices.ContainsFunc(others, func(o *nodeSpec) bool { return o.id == s.id }) {
			c.fault(s.path, "ID is used twice")
		}
	}
	if err := c.err(); err != nil {
		return err
	}
	kept := min(p.size, r.size)
	members := slices.Concat(inner.children[first:first+kept], c.out[kept:])
	inner.children = slices.Concat(inner.children[:first], members, inner.children[first+p.size:])
	inner.Children = slices.Clone(inner.Children)
	inner.Children[at] = pool{r.size, p.agent}

	config := inner.machine()
	config.Data = &fresh
	_, err := r.tree.ask(ctx, r.sup, supervise.Call{Op: supervise.OpReconfigure, Config: config})
	return err
}

// count returns how many nodes a child of a supervisor's spec is.
func count(c Child) int {
	if p, ok := c.(pool); ok {
		return p.size
	}
	return 1
}

// grow starts the new members. Among them may be some that a former Resize has not stopped yet: they go on.
func (r *resize) grow(ctx context.Context) error {
	var errs []error
	for i := r.former + 1; i <= r.size; i++ {
		path := r.member(i)
		if err := unlessUnknown(r.tree.hub.ResumeSpoke(path)); err != nil {
			errs = append(errs, err)
		}
		if _, err := r.tree.RestartChild(ctx, path); err != nil && !errors.Is(err, ErrRunning) && !errors.Is(err, ErrRestarting) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// shrink stops and deletes the members that are too many, the last one first, when they have done what they have.
func (r *resize) shrink(ctx context.Context) error {
	extra := r.extra()
	var errs []error
	for _, path := range extra {
		errs = append(errs, unlessUnknown(r.tree.hub.PauseSpoke(path)))
	}
	for _, path := range extra {
		errs = append(errs, r.remove(ctx, path))
	}
	err := errors.Join(errs...)
	if err == nil {
		r.tree.resizes.forget(r.path + "/" + r.name)
	}
	return err
}

// remove takes one member away. A step that finds its part done already is no error.
func (r *resize) remove(ctx context.Context, path string) error {
	if err := unlessUnknown(r.tree.hub.DrainSpoke(ctx, path)); err != nil {
		return err
	}
	if err := r.tree.TerminateChild(ctx, path); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := unlessUnknown(r.tree.hub.ResumeSpoke(path)); err != nil { // for who may have this name later
		return err
	}
	if err := r.tree.DeleteChild(ctx, path); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// unlessUnknown drops the error that a spoke isn't joined just now.
func unlessUnknown(err error) error {
	var unknown *routing.UnknownSpokeError
	if errors.As(err, &unknown) {
		return nil
	}
	return err
}

// extra lists the members that there are beyond the pool's size, the highest number first: by this resize, or left by former ones.
func (r *resize) extra() (paths []string) {
	for i := r.tree.resizes.highest(r.path+"/"+r.name, r.former); i > r.size; i-- {
		if n := r.tree.lookup(r.member(i)); n != nil && !n.isStatic.Load() {
			paths = append(paths, n.path)
		}
	}
	return paths
}

// member returns the path of one of the pool's agents, from 1.
func (r *resize) member(i int) string { return fmt.Sprintf("%s/%s-%d", r.path, r.name, i) }

// resizes lets one Resize at a time change a supervisor.
type resizes struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // by path of the supervisor; closed when the one that is under way is over
	most map[string]int           // by path of the pool: the highest number that may not be deleted yet
}

// highest notes that a pool has members up to a number, and returns the highest that it may still have.
func (r *resizes) highest(pool string, number int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.most == nil {
		r.most = make(map[string]int)
	}
	r.most[pool] = max(r.most[pool], number)
	return r.most[pool]
}

// forget notes that the pool has no members beyond its size any more.
func (r *resizes) forget(pool string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.most, pool)
}

// enter waits for its turn.
func (r *resizes) enter(ctx context.Context, path string) (leave func(), err error) {
	r.mu.Lock()
	for r.busy[path] != nil {
		busy := r.busy[path]
		r.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("another resize is under way: %w", context.Cause(ctx))
		}
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	if r.busy == nil {
		r.busy = make(map[string]chan struct{})
	}
	mine := make(chan struct{})
	r.busy[path] = mine
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.busy, path)
		close(mine)
	}, nil
}
