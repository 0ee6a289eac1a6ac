package strategies

import "time"

// ExponentialBackoff is the policy for children that depend on something that may be away for a while: delays of 100 ms, 200 ms,
// 400 ms … up to 30 s, each shortened by up to a fifth at random so that children that failed together don't come back together,
// counted anew after a minute without failure; and at most 15 restarts in 5 minutes. A child that fails at once each time thus
// gets about three and a half minutes before the failure goes one level up.
func ExponentialBackoff() RestartPolicy {
	b := Exponential(100*time.Millisecond, 30*time.Second)
	b.Jitter = 0.2
	return MaxRestarts(15, 5*time.Minute).WithBackoff(b)
}

// MaxRestarts is the policy of n restarts within window and no backoff. Unlike in the field of the same name, n = 0 means none.
// A window of 0 means DefaultWindow.
func MaxRestarts(n int, window time.Duration) RestartPolicy {
	if n == 0 {
		n = NoRestarts
	}
	return RestartPolicy{MaxRestarts: n, Window: window}
}

// AlwaysRestart is the policy without a budget: nothing ever escalates. Give it a backoff (see [RestartPolicy.WithBackoff])
// unless the children can't fail at once again.
func AlwaysRestart() RestartPolicy {
	return RestartPolicy{MaxRestarts: Unlimited}
}

// NeverRestart is the policy of intensity 0: the first failure finds the budget spent.
func NeverRestart() RestartPolicy {
	return RestartPolicy{MaxRestarts: NoRestarts}
}
