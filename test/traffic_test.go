package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
)

// traffic numbers messages and keeps the books of law 1: each is handled once or becomes a dead letter, in the order of its sender, and the
// one whose handling crashed is in an event.
type traffic struct {
	mu       sync.Mutex
	numbers  int
	sent     []*parcel
	begun    map[*parcel]int
	dead     map[*parcel]int
	told     map[*parcel]int // in an event
	order    map[string][]*parcel
	events   *actors.Subscription
	listened sync.WaitGroup
}

// parcel is a message of the traffic.
type parcel struct {
	to, from string
	n        int
	act      func(ctx actor.Context)
	crashes  bool
}

func (p *parcel) String() string { return fmt.Sprintf("%s>%s#%d", p.from, p.to, p.n) }

func newTraffic() *traffic {
	return &traffic{begun: map[*parcel]int{}, dead: map[*parcel]int{}, told: map[*parcel]int{}, order: map[string][]*parcel{},
		events: actors.NewSubscription(1<<16, actors.Exited, actors.Resumed, actors.Returned)}
}

// listen hears of a tree's dead letters and crashes. The subscription must have been given to its Start.
func (tr *traffic) listen(tree *actors.Tree) {
	tree.ActorSystem().EventStream.Subscribe(func(e any) {
		if l, ok := e.(*actor.DeadLetterEvent); ok {
			if p, ok := l.Message.(*parcel); ok {
				tr.mu.Lock()
				defer tr.mu.Unlock()
				tr.dead[p]++
			}
		}
	})
	tr.listened.Go(func() {
		for e := range tr.events.Events() {
			if p, ok := e.Message.(*parcel); ok {
				tr.mu.Lock()
				tr.told[p]++
				tr.mu.Unlock()
			}
		}
	})
}

// make makes the next parcel; act may be nil.
func (tr *traffic) make(from, to string, crashes bool, act func(actor.Context)) *parcel {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.numbers++
	p := &parcel{to: to, from: from, n: tr.numbers, act: act, crashes: crashes}
	tr.sent = append(tr.sent, p)
	return p
}

// takeBack forgets a parcel that was refused to its sender.
func (tr *traffic) takeBack(p *parcel) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.sent = slices.DeleteFunc(tr.sent, func(s *parcel) bool { return s == p })
}

// post sends a parcel to a path.
func (tr *traffic) post(tree *actors.Tree, to *actor.PID, p *parcel) {
	tree.ActorSystem().Root.Send(to, p)
}

// begin is called by whoever handles a parcel.
func (tr *traffic) begin(ctx actor.Context, p *parcel) {
	tr.mu.Lock()
	tr.begun[p]++
	key := p.from + ">" + p.to
	tr.order[key] = append(tr.order[key], p)
	tr.mu.Unlock()
	if p.crashes {
		panic(errBoom)
	}
	if p.act != nil {
		p.act(ctx)
	}
}

// receive is a hook that handles parcels.
func (tr *traffic) receive(ctx actor.Context) {
	if p, ok := ctx.Message().(*parcel); ok {
		tr.begin(ctx, p)
	}
}

// check closes the books, when the tree has stopped.
func (tr *traffic) check(t *testing.T) (handled, dead int) {
	t.Helper()
	tr.listened.Wait()
	require.Zero(t, tr.events.Missed())
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, p := range tr.sent {
		require.Equal(t, 1, tr.begun[p]+tr.dead[p], "%s was handled %d times and is %d dead letters", p, tr.begun[p], tr.dead[p])
		told := 0
		if p.crashes && tr.begun[p] > 0 {
			told = 1
		}
		require.Equal(t, told, tr.told[p], "%s is in %d events", p, tr.told[p])
		handled += tr.begun[p]
		dead += tr.dead[p]
	}
	require.Equal(t, len(tr.sent), handled+dead)
	for key, ps := range tr.order {
		for i := 1; i < len(ps); i++ {
			require.Less(t, ps[i-1].n, ps[i].n, "%s out of order: %s before %s", key, ps[i-1], ps[i])
		}
	}
	return handled, dead
}

// requireNoGoroutines checks that nothing of the library runs in the bubble of the test.
func requireNoGoroutines(t *testing.T) {
	t.Helper()
	synctest.Wait()
	require.Empty(t, libraryGoroutines())
}

// libraryGoroutines are the stacks of goroutines, apart from the calling one, in a bubble and in the library.
func libraryGoroutines() []string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var ours []string
	for _, g := range strings.Split(string(buf), "\n\n")[1:] {
		head, frames, _ := strings.Cut(g, "\n")
		if strings.Contains(head, "synctest bubble") && libraryFrame.MatchString(frames) {
			ours = append(ours, g)
		}
	}
	return ours
}

var libraryFrame = regexp.MustCompile(`mistersmith/mistersmith/(actors|routing|breaker|internal)[./]`)

// dice are random numbers for actors, which may run side by side.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(r *rand.Rand) *dice { return &dice{r: rand.New(rand.NewPCG(r.Uint64(), 1))} }

func (d *dice) IntN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// within is a context that ends the wait for a tree that is wedged.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// letReturn gives what hangs the time to return at the end of a test that failed. It is called before the tree is started.
func letReturn(t *testing.T) { t.Cleanup(func() { time.Sleep(2 * time.Hour) }) }
