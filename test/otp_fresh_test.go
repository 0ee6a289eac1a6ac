package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestOTPFresh makes scenarios up, has OTP's own supervisor go through them, and replays the recordings. It needs Erlang: erl and erlc.
func TestOTPFresh(t *testing.T) {
	for _, tool := range []string{"erl", "erlc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the real supervisor is not to be had: %v", err)
		}
	}
	const chunk = 100
	for seed := range uint64(soak()) {
		var scenarios []map[string]any
		for i := range chunk {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			scenarios = append(scenarios, newScenario(r, fmt.Sprintf("seed_%d/%d", seed, i)))
		}
		for _, r := range record(t, scenarios) {
			t.Run(r.Scenario.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { replay(t, r) })
			})
		}
	}
}

// record has the scenarios gone through by OTP.
func record(t *testing.T, scenarios []map[string]any) []recording {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "scenarios.terms"), filepath.Join(dir, "recordings.jsonl")
	var terms strings.Builder
	for _, s := range scenarios {
		writeTerm(&terms, "", s)
		terms.WriteString(".\n")
	}
	require.NoError(t, os.WriteFile(in, []byte(terms.String()), 0o600))
	for _, command := range []*exec.Cmd{
		exec.Command("erlc", "-o", dir, filepath.Join("testdata", "otp_recorder", "recorder.erl")),
		exec.Command("erl", "-noshell", "-pa", dir, "-run", "recorder", "main", in, out),
	} {
		text, err := command.CombinedOutput()
		require.NoError(t, err, "%s: %s", command, text)
	}
	f, err := os.Open(out)
	require.NoError(t, err)
	defer f.Close()
	var recordings []recording
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var r recording
		scenario, err := json.Marshal(scenarios[len(recordings)])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(scenario, &r.Scenario))
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r.Oracle.Steps))
		recordings = append(recordings, r)
	}
	require.NoError(t, lines.Err())
	require.Len(t, recordings, len(scenarios))
	return recordings
}

// writeTerm writes a value of the kinds that JSON has as an Erlang term: names as strings, other words as atoms.
func writeTerm(b *strings.Builder, key string, value any) {
	switch v := value.(type) {
	case string:
		if slices.Contains([]string{"id", "sup", "inst", "name"}, key) {
			fmt.Fprintf(b, "%q", v)
		} else {
			fmt.Fprintf(b, "'%s'", v)
		}
	case []map[string]any:
		b.WriteString("[")
		for i, e := range v {
			if i > 0 {
				b.WriteString(",")
			}
			writeTerm(b, "", e)
		}
		b.WriteString("]")
	case map[string]any:
		b.WriteString("#{")
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(b, "%s => ", k)
			writeTerm(b, k, v[k])
		}
		b.WriteString("}")
	default:
		fmt.Fprint(b, v)
	}
}

// ---- making scenarios up

type object = map[string]any

// scenarist makes up one scenario. What it knows of the tree is what it wrote, not what has become of it: half of what is done finds nobody.
type scenarist struct {
	r           *rand.Rand
	serial      int
	killers     bool              // supervisors are killed, too
	supervisors map[string]object // by ID
	workers     map[string]object
	instances   []string
	parents     map[string]string
}

func newScenario(r *rand.Rand, name string) object {
	s := &scenarist{r: r, killers: r.IntN(2) == 0, supervisors: map[string]object{}, workers: map[string]object{}, parents: map[string]string{}}
	tree := clone(s.supervisor("", r.IntN(4), ""))
	fail, ops := []object{}, []object{}
	if s.chance(5) {
		fail = append(fail, object{"id": s.leaf(), "n": 1, "mode": pick(r, "error", "crash", "ignore")})
	}
	for range 2 + r.IntN(34) {
		ops = append(ops, clone(s.op()))
	}
	return object{"name": name, "tree": tree, "fail": fail, "ops": ops}
}

// clone copies what may be changed later.
func clone(o object) object {
	c := maps.Clone(o)
	for k, v := range c {
		switch v := v.(type) {
		case object:
			c[k] = clone(v)
		case []object:
			list := make([]object, len(v))
			for i := range v {
				list[i] = clone(v[i])
			}
			c[k] = list
		}
	}
	return c
}

func (s *scenarist) chance(percent int) bool { return s.r.IntN(100) < percent }

func (s *scenarist) id(kind string) string {
	s.serial++
	return fmt.Sprint(kind, s.serial)
}

func (s *scenarist) worker(kind, parent, auto string) object {
	w := object{"id": s.id(kind)}
	restart := pick(s.r, "", "permanent", "permanent", "transient", "transient", "temporary")
	if restart != "" {
		w["restart"] = restart
	}
	how := pick(s.r, "", "", "", "", "", "trap", "trap", "stubborn", "odd_normal", "odd_crash")
	if how == "stubborn" && s.killers {
		how = "trap"
	}
	shutdown := pick[any](s.r, nil, nil, nil, nil, "brutal_kill", "infinity", 1000)
	if how == "stubborn" { // it takes all its time, and OTP's time is real
		shutdown = pick[any](s.r, "brutal_kill", 20, 35)
	}
	if how != "" {
		w["kind"] = how
	}
	if shutdown != nil {
		w["shutdown"] = shutdown
	}
	s.significant(w, auto)
	s.workers[w["id"].(string)], s.parents[w["id"].(string)] = w, parent
	return w
}

// significant makes a child significant now and then, where it may be.
func (s *scenarist) significant(o object, auto string) {
	mayBe := o["restart"] == "transient" || o["restart"] == "temporary"
	if mayBe && strings.HasSuffix(auto, "significant") && s.chance(50) {
		o["significant"] = true
	}
}

func (s *scenarist) supervisor(parent string, depth int, auto string) object {
	root := parent == ""
	o := object{"id": "root", "strategy": pick(s.r, "one_for_one", "one_for_all", "rest_for_one"), "intensity": pick(s.r, 2, 4, 6, 9, 15), "period": 3600}
	own := ""
	if !root {
		o["id"], o["intensity"] = s.id("s"), pick(s.r, 0, 1, 1, 2, 2, 3, 4, 6, 9)
		if restart := pick(s.r, "", "", "permanent", "transient", "temporary"); restart != "" {
			o["restart"] = restart
		}
		s.significant(o, auto)
	}
	id := o["id"].(string)
	s.supervisors[id], s.parents[id] = o, parent
	if !root && s.chance(20) {
		o["strategy"] = "simple_one_for_one"
		template := s.worker("t", id, "")
		delete(s.workers, template["id"].(string))
		delete(s.parents, template["id"].(string))
		o["children"] = []object{template}
		return o
	}
	if own = pick(s.r, "", "", "", "", "", "", "never", "any_significant", "all_significant"); own != "" {
		o["auto_shutdown"] = own
	}
	children := []object{}
	for range s.r.IntN(6) {
		if depth > 0 && s.chance(40) {
			children = append(children, s.supervisor(id, depth-1, own))
		} else {
			children = append(children, s.worker("w", id, own))
		}
	}
	o["children"] = children
	return o
}

func (s *scenarist) leaf() string {
	all := append(slices.Sorted(maps.Keys(s.workers)), s.instances...)
	if len(all) == 0 {
		return "nosuch"
	}
	return pick(s.r, all...)
}

// children are the IDs below a supervisor that pass.
func (s *scenarist) children(parent string, pass func(id string) bool) []string {
	ids := slices.Sorted(maps.Keys(s.parents))
	return slices.DeleteFunc(ids, func(id string) bool { return s.parents[id] != parent || id == "root" || !pass(id) })
}

func anyID(string) bool { return true }

func (s *scenarist) isLeaf(id string) bool { return s.supervisors[id] == nil }

func simple(o object) bool { return o["strategy"] == "simple_one_for_one" }

var (
	ends  = []string{"normal", "shutdown", "shutdown_term", "crash", "crash", "crash"}
	modes = []string{"error", "error", "crash", "ignore"}
)

func (s *scenarist) op() object {
	sup := pick(s.r, slices.Sorted(maps.Keys(s.supervisors))...)
	if s.killers && s.chance(15) {
		return object{"op": "kill", "id": pick(s.r, slices.Sorted(maps.Keys(s.supervisors))...)}
	}
	switch n := s.r.IntN(100); {
	case n < 27:
		return object{"op": "exit", "id": s.leaf(), "reason": pick(s.r, ends...)}
	case n < 34:
		return object{"op": "kill", "id": s.leaf()}
	case n < 47:
		id, mode := pick(s.r, s.leaf(), sup), pick(s.r, modes...)
		if slices.Contains(s.instances, id) && mode == "ignore" { // OTP 25 corrupts its state if that happens in a restart
			mode = "error"
		}
		return object{"op": "fail", "id": id, "n": pick(s.r, 1, 1, 2, 3, 5), "mode": mode}
	case n < 62:
		return s.batch(sup)
	case n < 66:
		return object{"op": "count_children", "sup": sup}
	case n < 71:
		return object{"op": "get_childspec", "sup": sup, "id": s.known(sup)}
	case n < 75 && !simple(s.supervisors[sup]):
		return s.change(sup)
	case simple(s.supervisors[sup]):
		return s.dynamic(sup)
	default:
		return s.call(sup)
	}
}

// known is the ID of a child, or of the template, and now and then nobody's.
func (s *scenarist) known(sup string) string {
	ids := s.children(sup, anyID)
	if o := s.supervisors[sup]; simple(o) {
		ids = []string{o["children"].([]object)[0]["id"].(string)}
	}
	if len(ids) == 0 || s.chance(5) {
		return "nosuch"
	}
	return pick(s.r, ids...)
}

func (s *scenarist) call(sup string) object {
	id := s.known(sup)
	switch n := s.r.IntN(100); {
	case n < 30:
		return object{"op": "terminate_child", "sup": sup, "id": id}
	case n < 65:
		return object{"op": "restart_child", "sup": sup, "id": id}
	case n < 80:
		return object{"op": "delete_child", "sup": sup, "id": id}
	}
	auto, _ := s.supervisors[sup]["auto_shutdown"].(string)
	o := object{"op": "start_child", "sup": sup}
	switch {
	case s.workers[id] != nil && s.chance(30):
		o["spec"] = s.workers[id]
	case s.chance(25):
		o["spec"] = s.supervisor(sup, 0, auto)
	default:
		o["spec"] = s.worker("d", sup, auto)
	}
	return o
}

// dynamic is a call to a dynamic supervisor. OTP tells instances apart by their PIDs, so a name is used once.
func (s *scenarist) dynamic(sup string) object {
	mine := s.children(sup, anyID)
	switch n := s.r.IntN(100); {
	case n < 60:
		id := s.id("i")
		s.instances, s.parents[id] = append(s.instances, id), sup
		return object{"op": "start_child", "sup": sup, "inst": id}
	case n < 90 && len(mine) > 0:
		return object{"op": "terminate_child", "sup": sup, "inst": pick(s.r, mine...)}
	default:
		return object{"op": pick(s.r, "restart_child", "delete_child"), "sup": sup, "id": s.known(sup)}
	}
}

func (s *scenarist) batch(sup string) object {
	leaves := s.children(sup, s.isLeaf)
	s.r.Shuffle(len(leaves), func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
	exits := []object{}
	for _, id := range leaves[:min(len(leaves), s.r.IntN(5))] {
		exits = append(exits, object{"id": id, "reason": pick(s.r, append(ends, "kill", "kill")...)})
	}
	o := object{"op": "batch", "sup": sup, "exits": exits}
	if s.chance(60) {
		calls := []object{}
		for range 1 + s.r.IntN(3) {
			op := pick(s.r, "count_children", "which", "terminate_child", "restart_child", "restart_child", "delete_child")
			call := object{"op": op}
			switch {
			case simple(s.supervisors[sup]): // calls are by PID there, and the name of one that restarts isn't told
				call["op"] = "count_children"
			case op != "count_children" && op != "which":
				call["id"] = "nosuch"
				if len(leaves) > 0 {
					call["id"] = pick(s.r, leaves...)
				}
			}
			calls = append(calls, call)
		}
		o["then"] = calls
	}
	return o
}

func (s *scenarist) change(sup string) object {
	now := s.supervisors[sup]
	o := object{"op": "change", "sup": sup}
	if s.chance(50) {
		o["intensity"] = pick(s.r, 0, 1, 2, 3, 4, 6)
	}
	if s.chance(40) {
		o["strategy"] = pick(s.r, "one_for_one", "one_for_all", "rest_for_one")
	}
	children := slices.Clone(now["children"].([]object))
	if !slices.ContainsFunc(children, func(c object) bool { return c["significant"] == true }) && s.chance(20) {
		o["auto_shutdown"] = pick(s.r, "never", "any_significant", "all_significant")
	}
	if s.chance(60) {
		s.r.Shuffle(len(children), func(i, j int) { children[i], children[j] = children[j], children[i] })
		if len(children) > 0 && s.chance(40) {
			children = children[1:]
		}
		for i, c := range children {
			if _, sub := c["strategy"]; sub || c["significant"] == true {
				continue
			}
			c = maps.Clone(c)
			if s.chance(30) {
				c["restart"] = pick(s.r, "permanent", "transient", "temporary")
			}
			if c["kind"] != "stubborn" && s.chance(20) {
				c["shutdown"] = pick[any](s.r, "brutal_kill", "infinity", 1000)
			}
			children[i] = c
			s.workers[c["id"].(string)] = c
		}
		if s.chance(40) {
			children = append(children, s.worker("n", sup, ""))
		}
		o["children"] = children
	}
	for k, v := range o {
		if k != "op" && k != "sup" {
			now[k] = v
		}
	}
	return o
}
