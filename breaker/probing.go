package breaker

import "context"

// probe asks Config.Probe whether the dependency is back, until the half-open period is over or a probe says nothing.
// It is a goroutine of its own, and ends with its context at the latest, unless Probe is deaf to it: then it is an orphan.
func (b *Breaker) probe(ctx context.Context, p *period) {
	for range b.cfg.SuccessThreshold {
		if b.current.Load() != p {
			return
		}
		_, err := DoDetached(ctx, b, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, b.cfg.Probe(ctx)
		})
		if err != nil {
			return // it has failed and the breaker is open, or others hold the slots and decide
		}
	}
}
