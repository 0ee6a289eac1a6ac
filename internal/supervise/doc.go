// Package supervise is the supervisor as a pure state machine: OTP's rules, and nothing else.
//
// A [Machine] knows its children, their restart types, the strategy and the restart budget. It is given one
// [Event] at a time and answers with the [Action]s that are to be carried out; it starts no goroutine, reads no clock
// and knows no actor. Whoever owns it (package actors) carries the actions out and reports back.
//
//	          Boot                  Done: all up
//	(new) ───────────▶ booting ───────────────────▶ idle ◀──────────────────────────┐
//	                      │ Done: one failed          │                             │
//	                      ▼                           │ Exit, Call, Due, Retry      │ Done
//	                   closing ◀── Shutdown, budget ──┤                             │
//	                      │        auto-shutdown      ▼                             │
//	                      ▼ Done                  stopping ──Done──▶ (backoff) ──▶ starting
//	                   closed (Quit)
//
// It is OTP's loop made asynchronous. One exit, call or retry is handled at a time and to its end; while a sequence of
// stops or starts is being carried out ("stopping", "starting"), what arrives is queued in order. Only a backoff lets
// others go first: the machine is idle while a restart is waited out, and [Due] brings it back.
//
// Exits are matched by incarnation, never by name, so an exit that was consumed by a group restart changes nothing when
// its message arrives later.
package supervise
