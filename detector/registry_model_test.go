package detector

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// naive is a registry that looks at everything, each time.
type naive struct {
	things map[string]*naiveThing
	config ClassConfig
}

type naiveThing struct {
	line    line
	verdict Verdict
	own     bool // it has a configuration of its own
}

func (n *naive) sweep(now time.Duration) (events []string) {
	for name, t := range n.things {
		v := t.line.view()
		next := v.verdict(now)
		tell := func(verdict Verdict) {
			t.verdict = verdict
			events = append(events, fmt.Sprintf("%s %v %.3f %v", name, verdict, t.line.phi(now), v.last))
		}
		switch {
		case next == Healthy && t.verdict != Healthy:
			tell(Healthy)
		case next == Healthy, next <= t.verdict:
		default:
			if t.verdict == Healthy {
				tell(Suspected)
			}
			if next == Failed {
				tell(Failed)
			}
		}
	}
	slices.Sort(events)
	return events
}

func TestARegistryIsLikeANaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		configs := []ClassConfig{
			{},
			{Detector: AdaptiveConfig{Interval: 100 * time.Millisecond, Pause: NoPause}, Suspect: 2},
			{Detector: AdaptiveConfig{Interval: 10 * time.Second, Threshold: 3}, Suspect: 1},
		}
		var told []string
		const most = 4
		r, err := NewRegistry(RegistryConfig{MaxThings: most, Subscriber: func(e Event) {
			told = append(told, fmt.Sprintf("%s %v %.3f %v", e.Name, e.Verdict, e.Phi, e.Last))
		}})
		if err != nil {
			t.Fatal(err)
		}
		model := &naive{things: map[string]*naiveThing{}}
		watches := map[string]Watch{}
		var closed []Watch
		now := time.Duration(0)
		name := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("t", rapid.IntRange(0, 4).Draw(t, "name")) })
		known := func(t *rapid.T) (string, *naiveThing, Watch) {
			n := name.Draw(t, "thing")
			return n, model.things[n], watches[n]
		}
		sweep := func(t *rapid.T) {
			told = nil
			r.Sweep(now)
			slices.Sort(told)
			if want := model.sweep(now); !slices.Equal(told, want) {
				t.Fatalf("told\n%q\nwant\n%q", told, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"watch": func(t *rapid.T) {
				n, thing, _ := known(t)
				first := rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute}).Draw(t, "first")
				w, err := r.Watch(now, Thing{Name: n, First: first})
				switch {
				case thing != nil && len(model.things) < most:
					if !errors.Is(err, ErrWatched) {
						t.Fatalf("watched twice: %v", err)
					}
				case len(model.things) == most:
					if !errors.Is(err, ErrFull) {
						t.Fatalf("beyond the bound: %v", err)
					}
				default:
					if err != nil {
						t.Fatal(err)
					}
					thing = &naiveThing{}
					var v view
					thing.line.begin(&v)
					v.reset(model.config.settings())
					if first > 0 {
						v.expect(now, first)
					}
					thing.line.commit(&v)
					model.things[n], watches[n] = thing, w
				}
			},
			"beat": func(t *rapid.T) {
				_, thing, w := known(t)
				period := rapid.SampledFrom([]time.Duration{0, 0, 0, time.Second, time.Minute}).Draw(t, "period")
				w.BeatEvery(now, period)
				if thing != nil {
					thing.line.beat(now, period)
				}
			},
			"all beat": func(t *rapid.T) {
				for n, thing := range model.things {
					watches[n].Beat(now)
					thing.line.beat(now, 0)
				}
			},
			"beat of the dead": func(t *rapid.T) {
				for _, w := range closed {
					w.Beat(now)
				}
			},
			"close": func(t *rapid.T) {
				n, thing, w := known(t)
				if w.Close() != (thing != nil) {
					t.Fatal("closed what isn't open")
				}
				delete(model.things, n)
				delete(watches, n)
				closed = append(closed, w)
			},
			"suspend": func(t *rapid.T) {
				_, thing, w := known(t)
				if err := w.Suspend(); (err == nil) != (thing != nil) {
					t.Fatal(err)
				} else if err == nil {
					thing.line.suspend()
				}
			},
			"resume": func(t *rapid.T) {
				_, thing, w := known(t)
				if err := w.Resume(now); (err == nil) != (thing != nil) {
					t.Fatal(err)
				} else if err == nil {
					thing.line.resume(now)
				}
			},
			"configure all": func(t *rapid.T) {
				model.config = rapid.SampledFrom(configs).Draw(t, "config")
				if err := r.Default().Configure(model.config); err != nil {
					t.Fatal(err)
				}
				for _, thing := range model.things {
					if !thing.own {
						thing.line.configure(model.config.settings())
					}
				}
			},
			"configure one": func(t *rapid.T) {
				_, thing, w := known(t)
				config := rapid.SampledFrom(configs).Draw(t, "config")
				if err := w.Configure(config); (err == nil) != (thing != nil) {
					t.Fatal(err)
				} else if err == nil {
					thing.own = true
					thing.line.configure(config.settings())
				}
			},
			"time passes": func(t *rapid.T) {
				now += time.Duration(rapid.OneOf(rapid.Int64Range(1, int64(time.Second)), rapid.Int64Range(1, int64(20*time.Second))).Draw(t, "for"))
			},
			"sweep": func(t *rapid.T) { sweep(t) },
			"time passes, with sweeps": func(t *rapid.T) {
				for range 20 {
					now += time.Duration(rapid.Int64Range(1, int64(time.Second)).Draw(t, "for"))
					sweep(t)
				}
			},
			"": func(t *rapid.T) {
				if r.Len() != len(model.things) {
					t.Fatalf("%d things, want %d", r.Len(), len(model.things))
				}
				for n, thing := range model.things {
					w := watches[n]
					if w.Verdict() != thing.verdict || w.Phi(now) != thing.line.phi(now) || r.Available(n, now) != (int64(now) < thing.line.deadline.Load()) {
						t.Fatalf("%s: %v, phi %v, want %v, %v", n, w.Verdict(), w.Phi(now), thing.verdict, thing.line.phi(now))
					}
				}
			},
		})
	})
}
