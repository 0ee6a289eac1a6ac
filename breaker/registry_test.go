package breaker_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

func newRegistry(t testing.TB, cfg breaker.RegistryConfig) *breaker.Registry {
	t.Helper()
	r, err := breaker.NewRegistry(cfg)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

func get(t testing.TB, r *breaker.Registry, key string) *breaker.Breaker {
	t.Helper()
	b, err := r.Get(key)
	require.NoError(t, err)
	return b
}

func TestOneBreakerForEachKey(t *testing.T) {
	r := newRegistry(t, breaker.RegistryConfig{
		Config: breaker.Config{Name: "api", FailureThreshold: 1},
		Configure: func(key string, c breaker.Config) breaker.Config {
			if key == "big" {
				c.FailureThreshold = 7
			}
			return c
		},
	})
	a := get(t, r, "a")
	_ = fail(a)
	assert.Same(t, a, get(t, r, "a"))
	assert.Equal(t, "api/a", a.Name())
	assert.Equal(t, breaker.Closed, get(t, r, "b").State(), "its own state")
	assert.EqualValues(t, 7, get(t, r, "big").Config().FailureThreshold)
	names := []string{}
	for _, s := range r.Snapshots() {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"api/a", "api/b", "api/big"}, names)
}

func TestOnlyIdleClosedBreakersAreEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, breaker.RegistryConfig{Max: 3, IdleAfter: time.Minute, Config: breaker.Config{ResetTimeout: time.Hour}})
		open, old, busy := get(t, r, "open"), get(t, r, "old"), get(t, r, "busy")
		trip(t, open)
		_, err := r.Get("new")
		require.ErrorIs(t, err, breaker.ErrRegistryFull, "none is idle")
		var hint interface{ RetryAfter() time.Duration }
		require.ErrorAs(t, err, &hint)

		time.Sleep(time.Minute)
		assert.Same(t, busy, get(t, r, "busy"))
		get(t, r, "new")
		assert.Equal(t, 3, r.Len())
		assert.Same(t, open, get(t, r, "open"), "what it knows must not be forgotten")
		require.NoError(t, succeed(old), "whoever still has the evicted one is not bothered")

		time.Sleep(time.Minute)
		open.Reset()
		get(t, r, "busy")
		get(t, r, "new")
		get(t, r, "other")
		assert.NotSame(t, open, get(t, r, "other"))
		assert.Equal(t, 3, r.Len(), "closed by now, and idle")
	})
}

func TestForcedOpenAndDisabledAreNotEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, breaker.RegistryConfig{Max: 3, IdleAfter: time.Second})
		get(t, r, "a").ForceOpen()
		get(t, r, "b").Disable()
		trip(t, get(t, r, "c"))
		time.Sleep(reset)
		require.Equal(t, breaker.HalfOpen, get(t, r, "c").State())
		time.Sleep(time.Hour)
		_, err := r.Get("d")
		assert.ErrorIs(t, err, breaker.ErrRegistryFull)
	})
}

func TestRegistryIsBoundedUnderManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, breaker.RegistryConfig{Max: 10, IdleAfter: time.Nanosecond})
		for i := range 500 {
			get(t, r, fmt.Sprint(i))
			time.Sleep(time.Nanosecond)
			require.LessOrEqual(t, r.Len(), 10)
		}
		assert.Same(t, get(t, r, "499"), get(t, r, "499"))
	})
}

func TestRegistryUnderManyGoroutines(t *testing.T) {
	r := newRegistry(t, breaker.RegistryConfig{})
	var all sync.WaitGroup
	got := make([]*breaker.Breaker, 16)
	for i := range got {
		all.Go(func() {
			for range 100 {
				b, err := r.Get("same")
				assert.NoError(t, err)
				assert.NoError(t, succeed(b), "nobody gets one that lost the race and was closed")
				got[i] = b
			}
		})
	}
	all.Wait()
	for _, b := range got {
		assert.Same(t, got[0], b)
	}
	assert.EqualValues(t, 1600, got[0].Snapshot().Totals.Succeeded)
}

func TestRegistryClose(t *testing.T) {
	r := newRegistry(t, breaker.RegistryConfig{})
	b := get(t, r, "a")
	r.Close()
	assert.Equal(t, breaker.Stopped, b.State())
	_, err := r.Get("a")
	assert.Equal(t, breaker.ErrStopped, err)
	_, err = r.Get("b")
	assert.Equal(t, breaker.ErrStopped, err)
}

func TestRegistryConfigIsChecked(t *testing.T) {
	_, err := breaker.NewRegistry(breaker.RegistryConfig{Max: -1, IdleAfter: -1, Config: breaker.Config{ResetTimeout: -1}})
	for _, field := range []string{"Max is -1", "IdleAfter", "ResetTimeout"} {
		assert.ErrorContains(t, err, field)
	}
	r := newRegistry(t, breaker.RegistryConfig{Configure: func(string, breaker.Config) breaker.Config {
		return breaker.Config{MaxInFlight: -1}
	}})
	_, err = r.Get("a")
	assert.ErrorContains(t, err, "MaxInFlight")
	assert.Zero(t, r.Len())
}
