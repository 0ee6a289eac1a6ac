// Package hold lets tests stand a supervisor still, so that what arrives meanwhile is handled in one go, in its order.
package hold

// Order, sent to the PID of a supervisor, keeps it from handling anything from the moment it closes Held until Release is closed.
type Order struct {
	Held    chan<- struct{}
	Release <-chan struct{}
}
