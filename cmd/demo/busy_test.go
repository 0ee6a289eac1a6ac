package main

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
)

// busyModel is a model that asks everybody to come back later, until it is given free. A run that needs it can't end by itself before, however slow or quick the machine is:
// being put off costs a task nothing.
type busyModel struct {
	*model.Server
	free atomic.Bool
}

func newBusyModel(t *testing.T) *busyModel {
	t.Helper()
	m := &busyModel{}
	var err error
	m.Server, err = model.Listen(model.Config{Faults: func(string, int) chaos.Fault {
		if m.free.Load() {
			return chaos.None
		}
		return chaos.Overload
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closeServer(m.Server)) })
	return m
}

// asked is a command line whose run asks this model.
func (m *busyModel) asked(args ...string) []string {
	return append(args, "--llm", m.URL(), "--model", "busy")
}
