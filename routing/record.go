package routing

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A store holds, each under its own key and as one JSON object with the version of its format:
//
//	books              the counts
//	task/<16 hex>      a task, by its number in the order of acceptance: those that change together lie together
//	snapshot/<path>    the state of an agent
//
// Times are Unix nanoseconds of the wall clock.
const (
	recordFormat = 1

	booksKey       = "books"
	taskPrefix     = "task/"
	snapshotPrefix = "snapshot/"
)

// Stored is the input or the result of a task as a store has it: JSON. [Lease.Input] returns one if the task comes from a store; a [Handler] and a [Handle]
// decode it by themselves.
type Stored json.RawMessage

// encode makes JSON of what the user gave. It runs the user's code, on a goroutine of the user's.
func encode(v any) (raw json.RawMessage, err error) {
	err = guarded(func() (err error) {
		raw, err = json.Marshal(v)
		return err
	})
	return raw, err
}

// maxNesting is how deep what is recorded may be nested: encoding/json decodes no more than 10,000 levels, and a record has some of its own.
const maxNesting = 9_990

// encodeRecord is encode for what a store has to give back: what couldn't be decoded is an error.
func encodeRecord(v any) (json.RawMessage, error) {
	raw, err := encode(v)
	if err == nil && nestedTooDeep(raw) {
		err = fmt.Errorf("it is nested more than %d levels deep", maxNesting)
	}
	return raw, err
}

// decodable returns an error if what is recorded can't be decoded as one of the types: an interface with methods doesn't say what to make of it.
func decodable(types ...reflect.Type) error {
	for _, t := range types {
		if t.Kind() == reflect.Interface && t.NumMethod() > 0 {
			return fmt.Errorf("a %v can't be recorded: JSON doesn't decode as an interface with methods", t)
		}
	}
	return nil
}

// losesText reports whether encoding has replaced text that isn't UTF-8. It is written as an escape then, which for text that is there encoding/json doesn't use: but JSON that was
// encoded elsewhere may have it. That stays the same when it is decoded and encoded again, unless it is in an any.
func losesText(raw []byte, v any) bool {
	escape := []byte(`\ufffd`)
	if !bytes.Contains(raw, escape) { // as good as always
		return false
	}
	decoded := reflect.New(reflect.TypeOf(v))
	if guarded(func() error { return json.Unmarshal(raw, decoded.Interface()) }) != nil {
		return false
	}
	again, err := encode(decoded.Elem().Interface())
	return err == nil && bytes.Count(again, escape) < bytes.Count(raw, escape)
}

// nestedTooDeep reports whether the JSON has more than maxNesting levels.
func nestedTooDeep(raw []byte) bool {
	if bytes.Count(raw, []byte("["))+bytes.Count(raw, []byte("{")) <= maxNesting { // as good as always
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > maxNesting {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

// errOtherType says that a value isn't of the type that is asked for.
var errOtherType = errors.New("other type")

// as converts what travelled as any back to its static type; a nil interface value is one of its own. What comes from a store is decoded.
func as[T any](v any) (T, error) {
	if stored, ok := v.(Stored); ok {
		return decode[T](stored)
	}
	value, ok := v.(T)
	if !ok && (v != nil || reflect.TypeFor[T]().Kind() != reflect.Interface) {
		return value, errOtherType
	}
	return value, nil
}

func decode[T any](stored Stored) (value T, err error) {
	err = json.Unmarshal(stored, &value)
	return value, err
}

// taskRecord is a task in a store.
type taskRecord struct {
	Version        int             `json:"v"`
	ID             exact           `json:"id"`
	Type           exact           `json:"type"`
	Key            exact           `json:"key,omitempty"`
	State          string          `json:"state"`
	Discarded      bool            `json:"discarded,omitempty"` // from quarantine
	Gone           bool            `json:"gone,omitempty"`      // forgotten, and only kept as somebody's input
	Submitted      int64           `json:"submitted"`
	Deadline       int64           `json:"deadline,omitempty"`
	Timeout        int64           `json:"timeout,omitempty"` // of each attempt, in nanoseconds, if it has one of its own
	Backoff        *backoffRecord  `json:"backoff,omitempty"` // likewise
	Priority       int             `json:"priority,omitempty"`
	Subtask        bool            `json:"subtask,omitempty"` // it comes before others of its priority
	Parent         exact           `json:"parent,omitempty"`  // the id
	Depth          int             `json:"depth,omitempty"`   // how many tasks it is below
	Child          bool            `json:"child,omitempty"`   // it ends with its parent
	Inputs         []inputRecord   `json:"inputs,omitempty"`
	Turn           uint64          `json:"turn,omitempty"`  // its place in the order in which tasks wait, if not its number
	Loose          bool            `json:"loose,omitempty"` // it doesn't wait for others of its key
	Pin            exact           `json:"pin,omitempty"`   // the path of the spoke that it belongs to
	PinIncarnation uint64          `json:"pin_inc,omitempty"`
	ReadyAt        int64           `json:"ready,omitempty"` // end of a backoff
	Settled        int64           `json:"settled,omitempty"`
	MaxAttempts    int             `json:"max_attempts"`
	Attempt        int             `json:"attempt,omitempty"` // leases so far
	Forgotten      int             `json:"forgotten,omitempty"`
	Errors         int             `json:"errors,omitempty"`
	Strikes        int             `json:"strikes,omitempty"`
	Interrupted    int             `json:"interrupted,omitempty"`
	Avoid          exact           `json:"avoid,omitempty"`
	In             json.RawMessage `json:"in,omitempty"`
	Out            json.RawMessage `json:"out,omitempty"`
	Err            *string         `json:"err,omitempty"`
	Attempts       []attemptRecord `json:"attempts,omitempty"`
}

type backoffRecord struct {
	Min    time.Duration `json:"min"`
	Max    time.Duration `json:"max"`
	Factor float64       `json:"factor"`
	Jitter float64       `json:"jitter"`
}

type inputRecord struct {
	ID  exact  `json:"id"`
	Seq uint64 `json:"seq,omitempty"` // its number, as long as it is needed: an id can be used again
}

type attemptRecord struct {
	Number      int     `json:"n"`
	Path        exact   `json:"path"`
	Incarnation uint64  `json:"inc,omitempty"`
	Start       int64   `json:"start"`
	End         int64   `json:"end,omitempty"`
	Outcome     string  `json:"outcome,omitempty"`
	Err         *string `json:"err,omitempty"`
	Stack       string  `json:"stack,omitempty"`
}

// booksRecord are the counts in a store. Every commit that changes a task has them, so they agree with the tasks at any moment.
type booksRecord struct {
	Version     int    `json:"v"`
	Seq         uint64 `json:"seq"` // of the last task accepted
	Accepted    uint64 `json:"accepted"`
	Waiting     uint64 `json:"waiting"`
	Leased      uint64 `json:"leased"`
	Done        uint64 `json:"done"`
	Failed      uint64 `json:"failed"`
	Quarantined uint64 `json:"quarantined"`
	Cancelled   uint64 `json:"cancelled"`
	Expired     uint64 `json:"expired"`
	Attempts    uint64 `json:"attempts"`
	Late        uint64 `json:"late"`
	Refused     uint64 `json:"refused"`
}

// snapshotRecord is the state of an agent in a store.
type snapshotRecord struct {
	Version int    `json:"v"`
	Of      int    `json:"of"` // the version of the user's format
	Time    int64  `json:"time"`
	Data    []byte `json:"data"`
}

func taskKey(seq uint64) string {
	var digits [16]byte
	for i := range digits {
		digits[i] = "0123456789abcdef"[seq>>(60-4*i)&15]
	}
	return taskPrefix + string(digits[:])
}

func taskSeq(key string) (uint64, error) {
	digits := strings.TrimPrefix(key, taskPrefix)
	seq, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || taskKey(seq) != key || seq == 0 {
		return 0, fmt.Errorf("key %q is none of a task", key)
	}
	return seq, nil
}

// unmarshal decodes a record of any kind. A newer format is refused before anything else of it is looked at.
func unmarshal(data []byte, into any) error {
	var head struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	switch {
	case head.Version > recordFormat:
		return fmt.Errorf("%w: format %d, this one reads up to %d", ErrStoreNewer, head.Version, recordFormat)
	case head.Version < 1:
		return errors.New("it has no version")
	}
	return json.Unmarshal(data, into)
}

func decodeTask(data []byte) (r taskRecord, err error) {
	if err := unmarshal(data, &r); err != nil {
		return r, err
	}
	return r, r.faults()
}

// faults reports what can't be in a record that was written here.
func (r *taskRecord) faults() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(validID(string(r.ID)) == nil, "id %q", r.ID)
	check(validName("task type", string(r.Type)) == nil, "type %q", r.Type)
	state, known := parseState(r.State)
	check(known, "state %q", r.State)
	within := func(field string, n, low, high int) { check(n >= low && n <= high, "%s is %d", field, n) }
	within("max_attempts", r.MaxAttempts, 1, math.MaxUint16)
	within("attempt", r.Attempt, 0, math.MaxInt32)
	within("forgotten", r.Forgotten, 0, math.MaxInt32)
	within("errors", r.Errors, 0, math.MaxUint16)
	within("strikes", r.Strikes, 0, math.MaxUint16)
	within("interrupted", r.Interrupted, 0, math.MaxUint16)
	check(r.Timeout >= 0 && r.Timeout <= int64(forever), "timeout is %d", r.Timeout)
	check(!r.Discarded || state == StateQuarantined, "discarded, but %s", r.State)
	check(!r.Gone || state.Settled(), "gone, but %s", r.State)
	within("priority", r.Priority, LowestPriority, HighestPriority)
	within("depth", r.Depth, 0, maxDepth)
	check(len(r.Inputs) <= maxInputs, "%d inputs", len(r.Inputs))
	if b := r.Backoff; b != nil {
		check((Backoff{b.Min, b.Max, b.Factor, b.Jitter}).faults() == nil, "backoff %+v", *b)
	}
	check(state != StateLeased || len(r.Attempts) > 0, "leased without an attempt")
	for _, a := range r.Attempts {
		_, known := parseOutcome(a.Outcome)
		check(known, "outcome %q", a.Outcome)
		check(a.Number >= 1 && a.Number <= r.Attempt, "attempt %d of %d", a.Number, r.Attempt)
	}
	return errors.Join(faults...)
}

func parseState(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(max(i, 0)), i >= 0
}

// parseOutcome knows "" as the outcome of an attempt that goes on.
func parseOutcome(name string) (OutcomeKind, bool) {
	if name == "" {
		return OutcomePending, true
	}
	i := slices.Index(outcomeNames[:], name)
	return OutcomeKind(max(i, 0)), i >= 0
}

// append encodes the record, as json.Marshal would.
func (r *taskRecord) append(b []byte) []byte {
	o := object{append(b, '{')}
	o.number("v", recordFormat)
	o.exact("id", r.ID)
	o.exact("type", r.Type)
	o.optional("key", r.Key)
	o.text("state", r.State)
	o.flag("discarded", r.Discarded)
	o.flag("gone", r.Gone)
	o.number("submitted", r.Submitted)
	o.nonzero("deadline", r.Deadline)
	o.nonzero("timeout", r.Timeout)
	if r.Backoff != nil {
		o.other("backoff", r.Backoff)
	}
	o.nonzero("priority", int64(r.Priority))
	o.flag("subtask", r.Subtask)
	o.optional("parent", r.Parent)
	o.nonzero("depth", int64(r.Depth))
	o.flag("child", r.Child)
	if len(r.Inputs) > 0 {
		o.other("inputs", r.Inputs)
	}
	o.unsigned("turn", r.Turn)
	o.flag("loose", r.Loose)
	o.optional("pin", r.Pin)
	o.unsigned("pin_inc", r.PinIncarnation)
	o.nonzero("ready", r.ReadyAt)
	o.nonzero("settled", r.Settled)
	o.number("max_attempts", int64(r.MaxAttempts))
	o.nonzero("attempt", int64(r.Attempt))
	o.nonzero("forgotten", int64(r.Forgotten))
	o.nonzero("errors", int64(r.Errors))
	o.nonzero("strikes", int64(r.Strikes))
	o.nonzero("interrupted", int64(r.Interrupted))
	o.optional("avoid", r.Avoid)
	o.raw("in", r.In)
	o.raw("out", r.Out)
	if r.Err != nil {
		o.text("err", *r.Err)
	}
	if len(r.Attempts) > 0 {
		o.name("attempts")
		o.b = append(o.b, '[')
		for i := range r.Attempts {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = r.Attempts[i].append(o.b)
		}
		o.b = append(o.b, ']')
	}
	return append(o.b, '}')
}

func (a *attemptRecord) append(b []byte) []byte {
	o := object{append(b, '{')}
	o.number("n", int64(a.Number))
	o.exact("path", a.Path)
	o.unsigned("inc", a.Incarnation)
	o.number("start", a.Start)
	o.nonzero("end", a.End)
	if a.Outcome != "" {
		o.text("outcome", a.Outcome)
	}
	if a.Err != nil {
		o.text("err", *a.Err)
	}
	if a.Stack != "" {
		o.text("stack", a.Stack)
	}
	return append(o.b, '}')
}

// object is a JSON object while it is written: several times faster than by reflection, and a hub writes two or three of them a task.
type object struct{ b []byte }

func (o *object) name(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) number(name string, n int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) nonzero(name string, n int64) {
	if n != 0 {
		o.number(name, n)
	}
}

// unsigned leaves 0 out.
func (o *object) unsigned(name string, n uint64) {
	if n != 0 {
		o.name(name)
		o.b = strconv.AppendUint(o.b, n, 10)
	}
}

func (o *object) flag(name string, set bool) {
	if set {
		o.raw(name, []byte("true"))
	}
}

// other is for what few records have.
func (o *object) other(name string, v any) {
	raw, _ := json.Marshal(v) // these can't fail
	o.raw(name, raw)
}

func (o *object) raw(name string, raw []byte) {
	if len(raw) > 0 {
		o.name(name)
		o.b = append(o.b, raw...)
	}
}

func (o *object) text(name, text string) {
	o.name(name)
	o.b = appendText(o.b, text)
}

func (o *object) exact(name string, text exact) {
	o.name(name)
	o.b = text.append(o.b)
}

func (o *object) optional(name string, text exact) {
	if text != "" {
		o.exact(name, text)
	}
}

// appendText appends a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string can't fail
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// exact is a text that comes back to the byte, which JSON does to UTF-8 only: anything else is written as an array of one string in base64.
type exact string

func (e exact) append(b []byte) []byte {
	if utf8.ValidString(string(e)) {
		return appendText(b, string(e))
	}
	b = append(b, '[', '"')
	b = base64.StdEncoding.AppendEncode(b, []byte(e))
	return append(b, '"', ']')
}

// MarshalJSON implements json.Marshaler.
func (e exact) MarshalJSON() ([]byte, error) { return e.append(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (e *exact) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, (*string)(e))
	}
	var encoded [][]byte
	if err := json.Unmarshal(data, &encoded); err != nil {
		return err
	}
	if len(encoded) != 1 {
		return fmt.Errorf("%d texts where one belongs", len(encoded))
	}
	*e = exact(encoded[0])
	return nil
}

// textOf asks an error for its text, which may be code of the user's.
func textOf(err error) *string {
	if err == nil {
		return nil
	}
	var text string
	if fault := guarded(func() error { text = err.Error(); return nil }); fault != nil {
		text = fmt.Sprintf("an error of type %T, whose text can't be had: %v", err, fault)
	}
	return &text
}

// storedError is an error that comes from a store: its text is all that is left of it.
type storedError string

func (e storedError) Error() string { return string(e) }

func errorOf(text *string) error {
	if text == nil {
		return nil
	}
	return storedError(*text)
}

// wall converts between a hub's clock and the wall clock, as they are at one moment.
type wall struct {
	unix, now int64
}

func (c clock) wall() wall { return wall{time.Now().UnixNano(), c.now()} }

// unixOf returns 0 for none.
func (w wall) unixOf(ns int64) int64 {
	if ns == 0 {
		return 0
	}
	return w.unix + (ns - w.now)
}

// from returns 0 for none. Times that are far away are brought within what the clock can add up.
func (w wall) from(unix int64) int64 {
	if unix == 0 {
		return 0
	}
	unix = min(max(unix, w.unix-int64(forever)), w.unix+int64(forever))
	if ns := w.now + (unix - w.unix); ns != 0 {
		return ns
	}
	return 1
}

func unixTime(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(0, unix)
}
