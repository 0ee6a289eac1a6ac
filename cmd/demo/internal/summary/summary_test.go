package summary

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// good is a run in which all is as it should be.
func good() (Summary, Facts) {
	return Summary{
			Seed: 7, Tasks: Tasks{Accepted: 13, Done: 10, Quarantined: 1, Cancelled: 1, Expired: 1},
			Planted: map[string][]string{"poison": {"drill:poison-1"}, "cancel": {"drill:cancel-1"}, "expire": {"drill:expire-1"}},
			Drills:  map[string]Drill{"breaker_opens": {Planned: 1, Seen: 1}, "hung": {Planned: 0, Seen: 3}},
			Breaker: Breaker{Opened: 1, Closed: 1, Rejected: 4}, Model: Model{Requests: 9},
		}, Facts{
			Ended:   Endings{[]string{"drill:poison-1"}, []string{"drill:cancel-1"}, []string{"drill:expire-1"}},
			Planned: Endings{[]string{"drill:poison-1"}, []string{"drill:cancel-1"}, []string{"drill:expire-1"}},
		}
}

func TestWhatBreaksAfterwardsIsSaidOnce(t *testing.T) {
	s, f := good()
	s.Judge(f)
	s.Break(nil)
	require.Equal(t, VerdictOK, s.Verdict)
	s.Judge(Facts{Interrupted: true, Ended: f.Ended, Planned: f.Planned})
	for range 2 {
		s.Break(errors.Join(errors.New("no room for a"), errors.New("no room for b")))
	}
	require.Equal(t, VerdictBroken, s.Verdict)
	require.Equal(t, ExitBroken, s.ExitCode)
	require.Equal(t, []string{"no room for a", "no room for b"}, s.Problems)
}

func TestTheVerdict(t *testing.T) {
	tests := []struct {
		name    string
		change  func(s *Summary, f *Facts)
		code    int
		verdict string
		problem string
	}{
		{"all as it should be", func(*Summary, *Facts) {}, 0, "ok", ""},
		{"nothing planted, nothing done", func(s *Summary, f *Facts) { *s, *f = Summary{}, Facts{} }, 0, "ok", ""},
		{"a lost task", func(s *Summary, _ *Facts) { s.Tasks.Done, s.Tasks.Lost = 9, 1 }, 1, "invariant broken", "lost tasks: 1"},
		{"a task recorded twice", func(s *Summary, _ *Facts) { s.Tasks.RecordedTwice = 1 }, 1, "invariant broken", "tasks recorded twice: 1"},
		{"accounts that do not add up", func(s *Summary, _ *Facts) { s.Tasks.Done = 9 }, 1, "invariant broken", "tasks accepted: 13, accounted for: 12"},
		{"a request past an open breaker", func(s *Summary, _ *Facts) { s.Breaker.SentWhileOpen = 2 }, 1, "invariant broken", "requests past an open breaker: 2"},
		{"a request retried by two layers", func(s *Summary, _ *Facts) { s.Model.RetriedByTwoLayers = 1 }, 1, "invariant broken", "requests retried by two layers: 1"},
		{"a request before its Retry-After", func(s *Summary, _ *Facts) { s.Model.BeforeRetryAfter = 3 }, 1, "invariant broken",
			"requests before the time that a Retry-After named: 3"},
		{"an invariant found broken elsewhere", func(_ *Summary, f *Facts) { f.Broken = []string{"verify disagrees"} }, 1, "invariant broken", "verify disagrees"},
		{"a mechanism that did not happen", func(s *Summary, _ *Facts) { s.Drills["breaker_opens"] = Drill{1, 0} }, 1, "invariant broken",
			"planned and not seen: breaker_opens (0 of 1)"},
		{"poison that was not quarantined", func(s *Summary, f *Facts) { s.Tasks.Done, s.Tasks.Quarantined, f.Ended.Quarantined = 11, 0, nil }, 1, "invariant broken",
			"drill:poison-1 was to be quarantined, and isn't"},
		{"a failed task", func(s *Summary, _ *Facts) { s.Tasks.Done, s.Tasks.Failed = 9, 1 }, 3, "tasks failed", "tasks failed: 1"},
		{"an expired task", func(s *Summary, f *Facts) {
			s.Tasks.Done, s.Tasks.Expired, f.Ended.Expired = 9, 2, append(f.Ended.Expired, "metrics:a.go")
		}, 3, "tasks failed", "metrics:a.go is expired, and wasn't to be"},
		{"a cancelled task", func(s *Summary, f *Facts) {
			s.Tasks.Done, s.Tasks.Cancelled, f.Ended.Cancelled = 9, 2, append(f.Ended.Cancelled, "metrics:a.go")
		}, 3, "tasks failed", "metrics:a.go is cancelled, and wasn't to be"},
		{"a drill that was cancelled instead of expired", func(s *Summary, f *Facts) {
			s.Tasks.Cancelled, s.Tasks.Expired, f.Ended.Cancelled, f.Ended.Expired = 2, 0, append(f.Ended.Cancelled, "drill:expire-1"), nil
		}, 1, "invariant broken", "drill:expire-1 was to be expired, and isn't"},
		{"a drill that is done instead of cancelled", func(s *Summary, f *Facts) {
			s.Tasks.Cancelled, s.Tasks.Done, f.Ended.Cancelled = 0, 11, nil
		}, 1, "invariant broken", "drill:cancel-1 was to be cancelled, and isn't"},
		{"quarantine beyond the planted", func(s *Summary, f *Facts) {
			s.Tasks.Done, s.Tasks.Quarantined, f.Ended.Quarantined = 9, 2, append(f.Ended.Quarantined, "metrics:a.go")
		}, 3, "tasks failed", "metrics:a.go is quarantined, and wasn't to be"},
		{"out of time", func(s *Summary, f *Facts) {
			s.Tasks.Done, s.Tasks.Cancelled, f.OutOfTime, f.Ended.Cancelled = 9, 2, true, append(f.Ended.Cancelled, "metrics:a.go")
		}, 4, "out of time", "metrics:a.go is cancelled, and wasn't to be"},
		{"out of time before the drills", func(s *Summary, f *Facts) {
			f.OutOfTime, f.Ended.Quarantined, s.Drills["breaker_opens"] = true, nil, Drill{1, 0}
		}, 4, "out of time", ""},
		{"interrupted", func(s *Summary, f *Facts) {
			s.Tasks.Done, s.Tasks.Cancelled, f.Interrupted = 6, 5, true
			f.Ended.Cancelled = append(f.Ended.Cancelled, "metrics:a.go", "metrics:b.go", "metrics:c.go", "metrics:d.go")
		}, 130, "interrupted", "tasks cancelled and not meant to be: 4"},
		{"interrupted with a store", func(s *Summary, f *Facts) { s.Tasks.Done, s.Tasks.Kept, f.Interrupted = 1, 9, true }, 130, "interrupted", ""},
		{"interrupted when out of time", func(_ *Summary, f *Facts) { f.Interrupted, f.OutOfTime = true, true }, 130, "interrupted", ""},
		{"a lost task when interrupted", func(s *Summary, f *Facts) { s.Tasks.Done, s.Tasks.Lost, f.Interrupted = 9, 1, true }, 1, "invariant broken", "lost tasks: 1"},
		{"a broken plan and failed tasks", func(s *Summary, _ *Facts) {
			s.Tasks.Done, s.Tasks.Failed, s.Drills["breaker_opens"] = 9, 1, Drill{1, 0}
		}, 1, "invariant broken", "tasks failed: 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, f := good()
			tt.change(&s, &f)
			s.Judge(f)
			assert.Equal(t, tt.code, s.ExitCode)
			assert.Equal(t, tt.verdict, s.Verdict)
			if tt.problem == "" {
				assert.Empty(t, s.Problems)
			} else {
				assert.Contains(t, s.Problems, tt.problem)
			}
			once := s
			s.Judge(f)
			assert.Equal(t, once, s, "a second judgement is the same")
		})
	}
}

func TestTheLineOfJSON(t *testing.T) {
	s, f := good()
	s.RecoveryMS = Percentiles([]time.Duration{1500 * time.Microsecond})
	s.Judge(f)
	var line bytes.Buffer
	require.NoError(t, s.WriteJSON(&line))
	assert.Equal(t, `{"type":"summary","seed":7,"tasks":{"accepted":13,"done":10,"failed":0,"quarantined":1,"cancelled":1,"expired":1,"lost":0,"recorded_twice":0},`+
		`"planted":{"cancel":["drill:cancel-1"],"expire":["drill:expire-1"],"poison":["drill:poison-1"]},`+
		`"drills":{"breaker_opens":{"planned":1,"seen":1},"hung":{"planned":0,"seen":3}},"attempts":0,"late_results_refused":0,"restarts":0,`+
		`"group_restarts":{"one_for_all":0,"rest_for_one":0},"escalations":0,"abandoned":0,`+
		`"breaker":{"opened":1,"closed":1,"rejected":4,"sent_while_open":0},"model":{"requests":9,"retried_by_two_layers":0,"before_retry_after":0},"recovery_ms":{"p50":1.5,"p95":1.5,"max":1.5},"verdict":"ok","exit_code":0}`+"\n", line.String())
	var back Summary
	require.NoError(t, json.Unmarshal(line.Bytes(), &back))
	assert.Equal(t, s, back)
}

func TestTheBlockOfText(t *testing.T) {
	s, f := good()
	for range 12 {
		f.Broken = append(f.Broken, "something")
	}
	s.Judge(f)
	var text strings.Builder
	require.NoError(t, s.WriteText(&text))
	assert.Equal(t, `tasks      13 accepted: 10 done, 0 failed, 1 quarantined, 1 cancelled,
           1 expired; 0 lost, 0 recorded twice
planted    1 cancel, 1 expire, 1 poison
attempts   0, late results refused 0
restarts   0; groups: 0 one for all, 0 rest for one; 0 escalations, 0 abandoned
recovery   p50 0.0 ms, p95 0.0 ms, max 0.0 ms
breaker    opened 1, closed 1, rejected 4, sent while open 0
model      9 requests, retried by two layers 0, before their Retry-After 0
drills     breaker opens 1, hung 3
verdict    invariant broken (seed 7, exit code 1)
`+strings.Repeat("           something\n", 10)+"           and 2 more\n", text.String())
}

func TestTheTextMarksWhatIsMissing(t *testing.T) {
	s := Summary{Drills: map[string]Drill{}}
	for _, name := range []string{"a", "b", "c", "d", "e", "f_g"} {
		s.Drills[name] = Drill{Planned: 2, Seen: 2}
	}
	s.Drills["f_g"] = Drill{Planned: 2, Seen: 1}
	var text strings.Builder
	require.NoError(t, s.WriteText(&text))
	assert.Contains(t, text.String(), "planted    no drills\n")
	assert.Contains(t, text.String(), "drills     a 2, b 2, c 2, d 2, e 2, f g 1 of 2 (missing)\n")
}

func TestPercentilesAreOfTheNearestRank(t *testing.T) {
	millis := func(to int) (times []time.Duration) {
		for i := to; i > 0; i-- {
			times = append(times, time.Duration(i)*time.Millisecond)
		}
		return times
	}
	tests := []struct {
		times []time.Duration
		want  Recovery
	}{
		{nil, Recovery{}},
		{millis(1), Recovery{1, 1, 1}},
		{millis(2), Recovery{1, 2, 2}},
		{millis(3), Recovery{2, 3, 3}},
		{millis(20), Recovery{10, 19, 20}},
		{millis(21), Recovery{11, 20, 21}},
		{millis(100), Recovery{50, 95, 100}},
		{[]time.Duration{1234567 * time.Nanosecond}, Recovery{1.235, 1.235, 1.235}},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, Percentiles(tt.times), "%d times", len(tt.times))
	}
}

// A run that was cut short doesn't owe the rest, so nothing of it is called missing.
func TestTextOfARunCutShortMissesNothing(t *testing.T) {
	for _, f := range []Facts{{Interrupted: true}, {OutOfTime: true}} {
		s := Summary{Drills: map[string]Drill{"hung": {Planned: 2, Seen: 1}}}
		s.Judge(f)
		var text strings.Builder
		require.NoError(t, s.WriteText(&text))
		assert.Contains(t, text.String(), "drills     hung 1 of 2\n")
	}
}

func TestTextKeepsToATerminalsWidth(t *testing.T) {
	const many = 10_000_000
	s := Summary{
		Drills: map[string]Drill{}, Planted: map[string][]string{}, Tasks: Tasks{many, many, many, many, many, many, many, many, many}, Attempts: many, LateResultsRefused: many,
		Restarts: many, GroupRestarts: Groups{many, many}, Escalations: many, Abandoned: many, Breaker: Breaker{many, many, many, many}, Model: Model{many, many, many},
		RecoveryMS: Recovery{many, many, many},
	}
	for i := range 19 {
		s.Drills[fmt.Sprintf("a_mechanism_of_some_kind_%d", i)] = Drill{Planned: 100, Seen: i % 2}
		s.Planted[fmt.Sprintf("kind-%d", i)] = make([]string, i)
	}
	s.Judge(Facts{})
	s.Problems = nil // they are whole sentences, each on its line
	var text strings.Builder
	require.NoError(t, s.WriteText(&text))
	for line := range strings.Lines(text.String()) {
		assert.LessOrEqual(t, len(line)-1, 80, line)
		assert.Equal(t, strings.TrimRight(line, " \n")+"\n", line)
	}
}
