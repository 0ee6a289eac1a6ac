package breaker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

// A call can tell which period let it through, and the transitions tell which state that period was.
func TestAdmissionNamesThePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		states := map[uint64]breaker.State{0: breaker.Closed}
		b, err := breaker.New(breaker.Config{Name: "svc", FailureThreshold: 1, SuccessThreshold: 1, ResetTimeout: time.Second})
		require.NoError(t, err)
		defer b.Close()
		b.Observe(func(tr breaker.Transition) { states[tr.Gen] = tr.To })
		r := breaker.NewRunner(b)

		call := func(fail error) (a breaker.Admission, known bool) {
			answered := make(chan struct{})
			r.Run(&breaker.Call{Fn: func(ctx context.Context) (any, error) {
				a, known = breaker.Admitted(ctx)
				return nil, fail
			}}, func(*breaker.Result) { close(answered) })
			<-answered
			synctest.Wait()
			return a, known
		}

		a, known := call(errors.New("down"))
		require.True(t, known)
		require.Equal(t, breaker.Admission{Name: "svc", State: breaker.Closed, Gen: 0}, a)
		_, known = call(nil)
		require.False(t, known, "an open breaker lets nothing through")
		time.Sleep(time.Second)
		a, known = call(nil)
		require.True(t, known)
		require.Equal(t, breaker.HalfOpen, a.State)
		require.Equal(t, breaker.HalfOpen, states[a.Gen])
		a, _ = call(nil)
		require.Equal(t, breaker.Closed, states[a.Gen])
		_, known = breaker.Admitted(t.Context())
		require.False(t, known)
	})
}
