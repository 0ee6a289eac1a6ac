package routing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/routing"
)

// modelBroadcast is a broadcast that was begun.
type modelBroadcast struct {
	id      string
	replies []routing.Reply[int]
	err     error
	done    bool
	giveUp  context.CancelCauseFunc
}

func (s *story) pinned() bool { return s.pin != routing.SpokeID{} }

// takes says whether the spoke may have the task.
func (s *modelSpoke) takes(task *story) bool {
	return (s.kind == task.kind || s.kind == "both") && (!task.pinned() || task.pin == s.ID())
}

func (m *model) broadcast(t *rapid.T) {
	m.names++
	b := &modelBroadcast{id: fmt.Sprint("all", m.names)}
	ctx, giveUp := context.WithCancelCause(context.Background())
	b.giveUp = giveUp
	options := []routing.SubmitOption{routing.ID(b.id), routing.Key(rapid.SampledFrom([]string{"", "k"}).Draw(t, "key"))}
	failFast := rapid.Bool().Draw(t, "fail fast?")
	if failFast {
		options = append(options, routing.FailFast())
	}
	m.read()
	var to []*modelSpoke
	for _, s := range m.spokes {
		if !s.left && (s.kind == "double" || s.kind == "both") {
			to = append(to, s)
		}
	}
	slices.SortFunc(to, func(a, b *modelSpoke) int { return strings.Compare(a.ID().Path, b.ID().Path) })
	room := 12 - int(m.w.hub.Counts().Unsettled())
	shut := make([]bool, len(to))
	for i, s := range to { // what is leased on the way may shut more
		shut[i] = m.shut(s)
	}
	hub := m.w.hub
	go func() {
		b.replies, b.err = double.Broadcast(ctx, hub, 1, options...)
		b.done = true
	}()
	synctest.Wait()
	m.broadcasts = append(m.broadcasts, b)
	for i, s := range to {
		id := b.id + "@" + s.ID().Path
		handle, err := double.Find(m.w.hub, id)
		switch {
		case err == nil:
			require.Positive(t, room)
			require.False(t, failFast && shut[i], "%s was accepted, though its spoke is shut", id)
			room--
			m.stories[id] = &story{kind: double.Name(), pin: s.ID(), handle: handle}
			m.order = append(m.order, id)
		default:
			m.refused++
			require.True(t, room <= 0 || failFast && len(s.circuits) > 0, "%s was refused", id)
		}
	}
}

func (m *model) giveUpBroadcast(t *rapid.T) {
	if len(m.broadcasts) == 0 {
		t.Skip("no broadcasts")
	}
	rapid.SampledFrom(m.broadcasts).Draw(t, "broadcast").giveUp(errBroken)
	synctest.Wait()
}

// requeuedPart follows a part that was taken out of quarantine to the spoke that has its path now. It is true if that was refused.
func (m *model) requeuedPart(t *rapid.T, s *story, err error) (refused bool) {
	for _, to := range m.spokes {
		if !to.left && to.ID().Path == s.pin.Path && (to.kind == s.kind || to.kind == "both") {
			require.False(t, errors.Is(err, routing.ErrSpokeGone))
			if err == nil {
				s.pin = to.ID()
			}
			return err != nil
		}
	}
	require.Error(t, err)
	return true
}

// finishBroadcasts checks that each broadcast has told what became of its parts.
func (m *model) finishBroadcasts() {
	for _, b := range m.broadcasts {
		require.True(m.t, b.done, "broadcast %s", b.id)
		require.NoError(m.t, b.err)
		for _, reply := range b.replies {
			if part := m.stories[b.id+"@"+reply.Spoke.Path]; part == nil || part.lives > 1 {
				continue // refused, or it has had other outcomes since
			} else if part.state == routing.StateDone {
				require.NoError(m.t, reply.Err)
			} else {
				require.Error(m.t, reply.Err)
			}
		}
	}
}
