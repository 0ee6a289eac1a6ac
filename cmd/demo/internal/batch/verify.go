package batch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
)

// Verified is what is found in the folder of a run.
type Verified struct {
	Run      Run
	OK       int // items with what they asked for
	Failed   int // items without
	Computed int // items whose results were computed again
	Findings books.Findings
}

// ReadRun reads what a folder says of its run. The error wraps fs.ErrNotExist if it isn't a batch's.
func ReadRun(dir string) (Run, error) {
	var run Run
	if err := books.ReadJSON(filepath.Join(dir, RunFile), &run); err != nil {
		return Run{}, err
	}
	if run.Format != Format {
		return Run{}, fmt.Errorf("%s has format %d, this program reads format %d", RunFile, run.Format, Format)
	}
	return run, nil
}

// Verify reads the folder of a run, trusting nothing of it but what its input and model were, and checks that
//
//   - the input is that of the run, byte for byte; else it says so, and leaves the rest alone
//   - every line of the input has exactly one line, in the right file and the order of the input, and no other is there
//   - a request that the embedded model was asked has the reply that the model must give to it, and a task that it was
//     asked for the result; figures are computed again whoever the model was
//
// A request that failed isn't a finding: it is counted.
func Verify(dir string) (Verified, error) {
	run, err := ReadRun(dir)
	if err != nil {
		return Verified{}, fmt.Errorf("batch in %s: %w", dir, err)
	}
	v := verifier{Verified: Verified{Run: run}, dir: dir}
	if v.file, err = Read(run.Input); err != nil {
		return Verified{}, fmt.Errorf("the input of the batch can't be read again: %w", err)
	}
	if v.file.SHA256 != run.SHA256 || v.file.Form != run.Form || len(v.file.Items) != run.Items {
		v.find("", books.KindInput, "%s changed since the run: sha256 %.12s… then, %.12s… now", run.Input, run.SHA256, v.file.SHA256)
		return v.Verified, nil
	}
	v.places = make(map[string]int, len(v.file.Items))
	for i, item := range v.file.Items {
		v.places[item.ID] = i
	}
	v.seen = make(map[string]string, len(v.file.Items))
	if err := errors.Join(v.read(OutputFile, true), v.read(ErrorsFile, false)); err != nil {
		return Verified{}, fmt.Errorf("batch in %s: %w", dir, err)
	}
	for _, item := range v.file.Items {
		if v.seen[item.ID] == "" {
			v.find(item.ID, books.KindMissing, "line %d of the input has no result", item.Line)
		}
	}
	return v.Verified, nil
}

type verifier struct {
	Verified
	dir    string
	file   *File
	places map[string]int    // of the items in the file, by id
	seen   map[string]string // where the items' lines are, by id
}

func (v *verifier) find(id string, kind books.Kind, format string, args ...any) {
	v.Findings = append(v.Findings, books.Finding{ID: id, Kind: kind, Detail: fmt.Sprintf(format, args...)})
}

// maxResult bounds a line of results: a body, of which JSON may make six times as much, and what is around it.
const maxResult = 6*model.MaxReply + 64<<10

// read checks one of the two files. That of the errors may not be there.
func (v *verifier) read(name string, ok bool) error {
	f, err := os.Open(filepath.Join(v.dir, name))
	if errors.Is(err, fs.ErrNotExist) && !ok {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxResult)
	last := -1
	for n := 1; lines.Scan(); n++ {
		where := fmt.Sprintf("%s line %d", name, n)
		id, o, fault := v.decode(lines.Bytes())
		place, known := v.places[id]
		switch {
		case fault != "":
			v.find(id, books.KindFormat, "%s: %s", where, fault)
			continue
		case !known:
			v.find(id, books.KindUnknown, "%s: the input has no such id", where)
			continue
		case v.seen[id] != "":
			v.find(id, books.KindTwice, "%s: %s is on it too", where, v.seen[id])
			continue
		case place < last:
			v.find(id, books.KindOrder, "%s: out of the order of the input", where)
		case o.OK() != ok:
			v.find(id, books.KindStatus, "%s: it belongs into the other file", where)
		}
		last, v.seen[id] = max(last, place), where
		v.check(v.file.Items[place], o, where)
	}
	return lines.Err()
}

// decode reads a line of results, which must be what encode writes for it.
func (v *verifier) decode(line []byte) (id string, o Outcome, fault string) {
	if v.file.Form == Requests {
		var l requestLine
		if err := json.Unmarshal(line, &l); err != nil {
			return "", o, "not a result: " + clip(err.Error())
		}
		id, o = l.CustomID, Outcome{Reply: l.Response, Fault: l.Error}
		if (o.Reply == nil) == (o.Fault == nil) {
			return id, o, "has both response and error, or neither"
		}
	} else {
		var l taskLine
		if err := json.Unmarshal(line, &l); err != nil {
			return "", o, "not a result: " + clip(err.Error())
		}
		id, o = l.ID, Outcome{Result: l.Result, Fault: l.Error}
		if string(o.Result) == "null" {
			o.Result = nil
		}
		if (o.Result == nil) == (o.Fault == nil) {
			return id, o, "has both result and error, or neither"
		}
	}
	if place, known := v.places[id]; known {
		want, err := encode(v.file, v.file.Items[place], o)
		if err != nil || !bytes.Equal(bytes.TrimSuffix(want, []byte{'\n'}), line) {
			return id, o, "is not written as the run writes it"
		}
	}
	return id, o, ""
}

// check holds an item's outcome against what it must be.
func (v *verifier) check(item Item, o Outcome, where string) {
	if o.OK() {
		v.OK++
	} else {
		v.Failed++
	}
	if o.Fault != nil {
		return
	}
	if item.Type == TypeRequest {
		v.checkReply(item, *o.Reply, where)
		return
	}
	want, err := item.embedded()
	switch {
	case err != nil:
		v.find(item.ID, books.KindFigure, "%s: cannot be computed again: %v", where, err)
	case item.AsksModel() && !v.Run.Embedded():
		v.checkForeign(item, o.Result, where)
	case !bytes.Equal(want, o.Result):
		v.Computed++
		v.find(item.ID, books.KindFigure, "%s: the result is not what the input yields", where)
	default:
		v.Computed++
	}
}

// checkReply computes again what the embedded model said.
func (v *verifier) checkReply(item Item, r Reply, where string) {
	if !v.Run.Embedded() {
		return
	}
	v.Computed++
	want, answered := model.AnswerTo(item.Body)
	if answered != r.Answered() || !answered && r.StatusCode != http.StatusBadRequest {
		v.find(item.ID, books.KindStatus, "%s: the status is %d, which the model doesn't say to it", where, r.StatusCode)
		return
	}
	if !answered {
		return
	}
	if got, err := model.TextOf(r.Body); err != nil || got != want {
		v.find(item.ID, books.KindFigure, "%s: the answer is not what the model says to it", where)
	}
}

// checkForeign takes what another model said as given, and computes the rest.
func (v *verifier) checkForeign(item Item, result json.RawMessage, where string) {
	var said struct{ Text, Summary string }
	if err := json.Unmarshal(result, &said); err != nil || said.Text+said.Summary == "" {
		v.find(item.ID, books.KindFigure, "%s: has nothing that the model said", where)
		return
	}
	v.Computed++
	if want, err := item.Result(said.Text + said.Summary); err != nil || !bytes.Equal(want, result) {
		v.find(item.ID, books.KindFigure, "%s: the result is not what the model's answer yields", where)
	}
}
