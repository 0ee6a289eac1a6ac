package batch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/batch"
)

const (
	goodTask    = `{"id":"a","type":"chat","input":"Hello."}`
	goodRequest = `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"Hello."}]}}`
)

func parse(text string) (*batch.File, error) { return batch.Parse("x.jsonl", strings.NewReader(text)) }

func TestTheFormIsToldByTheFile(t *testing.T) {
	f, err := parse(goodRequest + "\n")
	require.NoError(t, err)
	require.Equal(t, batch.Requests, f.Form)
	require.Equal(t, "a", f.Items[0].ID)
	require.Equal(t, batch.TypeRequest, f.Items[0].Type)
	require.JSONEq(t, `{"messages":[{"role":"user","content":"Hello."}]}`, string(f.Items[0].Body))

	f, err = parse("\ufeff\r\n" + goodTask + "\r\n\n" +
		`{"id":"b","type":"chat","input":{"prompt":"Say."}}` + "\n" +
		`{"id":"c","type":"summarize","input":"A text."}` + "\n" +
		`{"id":"d","type":"metrics","input":{"path":"d.go","text":"package d"}}` + "\n" +
		`{"id":"e","type":"review","input":{"text":"package e"}}`)
	require.NoError(t, err)
	require.Equal(t, batch.Tasks, f.Form)
	require.Equal(t, []batch.Item{
		{Line: 2, ID: "a", Type: batch.TypeChat, Prompt: "Hello."},
		{Line: 4, ID: "b", Type: batch.TypeChat, Prompt: "Say."},
		{Line: 5, ID: "c", Type: batch.TypeSummarize, Path: "c", Text: "A text."},
		{Line: 6, ID: "d", Type: batch.TypeMetrics, Path: "d.go", Text: "package d"},
		{Line: 7, ID: "e", Type: batch.TypeReview, Path: "e", Text: "package e"},
	}, f.Items)
}

func TestFaultyLinesAreNamed(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"no JSON":             {`nope`, "is not JSON"},
		"cut off":             {goodTask[:len(goodTask)-1], "is not JSON"},
		"two values":          {goodTask + goodTask, "is not JSON"},
		"a list":              {`[1]`, "is not a JSON object"},
		"null":                {`null`, "is not a JSON object"},
		"not UTF-8":           {"{\"id\":\"\xff\"}", "is not UTF-8"},
		"too long":            {`{"id":"` + strings.Repeat("x", batch.MaxLine) + `"}`, "has more than 4194304 bytes"},
		"no id":               {`{"type":"chat","input":"x"}`, "has no id"},
		"empty id":            {`{"id":" ","type":"chat","input":"x"}`, "id is empty"},
		"id of a number":      {`{"id":7,"type":"chat","input":"x"}`, "id is not a string"},
		"id of null":          {`{"id":null,"type":"chat","input":"x"}`, "id is not a string"},
		"long id":             {`{"id":"` + strings.Repeat("x", batch.MaxID+1) + `","type":"chat","input":"x"}`, "id has more than 512 bytes"},
		"the same id":         {`{"id":"first","type":"chat","input":"x"}`, `the id "first" is that of line 1`},
		"no type":             {`{"id":"b","input":"x"}`, "has no type"},
		"unknown type":        {`{"id":"b","type":"dance","input":"x"}`, `type is "dance", must be chat, summarize, metrics or review`},
		"no input":            {`{"id":"b","type":"chat"}`, "input is neither a string nor an object"},
		"empty prompt":        {`{"id":"b","type":"chat","input":""}`, "input: prompt is empty"},
		"text for a prompt":   {`{"id":"b","type":"chat","input":{"text":"x"}}`, `input: has the unknown field "text"`},
		"no text":             {`{"id":"b","type":"metrics","input":{"path":"x"}}`, "input: has no text"},
		"empty path":          {`{"id":"b","type":"metrics","input":{"path":"","text":"x"}}`, "input: path is empty"},
		"unknown field":       {`{"id":"b","type":"chat","input":"x","inptu":1}`, `has the unknown field "inptu"`},
		"the other form":      {goodRequest, `has the unknown field "body"`},
		"control characters ": {`{"id":"b","type":"a\nb","input":"x"}`, `type is "a b"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(`{"id":"first","type":"chat","input":"x"}` + "\n" + c.line + "\n")
			fault := (*batch.FormatError)(nil)
			require.ErrorAs(t, err, &fault)
			require.ErrorIs(t, err, batch.ErrFile)
			require.Len(t, fault.Faults, 1)
			require.Equal(t, 2, fault.Faults[0].Line)
			require.Contains(t, fault.Faults[0].Text, c.want)
			require.NotContains(t, fault.Faults[0].Text, "\n")
		})
	}
}

func TestFaultyRequestsAreNamed(t *testing.T) {
	replace := func(old, new string) string { return strings.Replace(goodRequest, old, new, 1) }
	for line, want := range map[string]string{
		replace(`"POST"`, `"GET"`):                                                  `method is "GET", must be POST`,
		replace(`/v1/chat/completions`, `/v1/files`):                                `url is "/v1/files", must be one of`,
		replace(`"url"`, `"uri"`):                                                   `has the unknown field "uri"`,
		replace(`"method":"POST",`, ``):                                             "has no method",
		replace(`,"body":{"mess`, `,"boody":{"mess`):                                `has the unknown field "boody"`,
		replace(`{"messages"`, `{"stream":true,"messages"`):                         "body.stream must be false",
		replace(`{"messages"`, `{"stream":1,"messages"`):                            "body.stream must be false",
		`{"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":"x"}`: "body is not a JSON object",
		`{"custom_id":"b","method":"POST","url":"/v1/chat/completions"}`:            "body is not JSON",
		`{"custom_id":"","method":"POST","url":"/v1/chat/completions","body":{}}`:   "custom_id is empty",
	} {
		_, err := parse(line)
		require.ErrorContains(t, err, want, line)
	}
}

// However many lines are faulty, the error says how many, names some, and stays short.
func TestAnErrorIsShort(t *testing.T) {
	_, err := parse(strings.Repeat(`{"id":"`+strings.Repeat("long ", 90)+`","type":"`+strings.Repeat("y", 5000)+"\"}\n", 1000))
	fault := (*batch.FormatError)(nil)
	require.ErrorAs(t, err, &fault)
	require.Len(t, fault.Faults, 1000)
	require.Contains(t, err.Error(), "1000 faulty lines")
	require.Contains(t, err.Error(), "and 996 more")
	require.Less(t, len(err.Error()), 1200)
	require.LessOrEqual(t, strings.Count(err.Error(), "\n"), 2)
}

func TestWhatIsNoFileOfWork(t *testing.T) {
	for _, text := range []string{"", "\n \n", "\ufeff"} {
		_, err := parse(text)
		require.ErrorContains(t, err, "it has no lines", "%q", text)
	}
	_, err := parse(`{"name":"x"}`)
	require.ErrorContains(t, err, `a line is {"id","type","input"}, or {"custom_id","method","url","body"}`)
	_, err = parse(strings.Repeat("{}\n", batch.MaxItems+1))
	require.ErrorContains(t, err, "more than 50000 lines")
	_, err = batch.Read(filepath.Join(t.TempDir(), "none.jsonl"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotErrorIs(t, err, batch.ErrFile)
	_, err = batch.Read(t.TempDir())
	require.ErrorContains(t, err, "not a regular file")
	_, err = batch.Parse("x", brokenReader{})
	require.ErrorIs(t, err, errBroken)
}

var errBroken = errors.New("broken")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

// Whatever is in a file, it is read as items that each have what they need and an id of their own, or refused in a few words. What was read can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(goodTask + "\n" + goodRequest))
	f.Add([]byte(goodRequest))
	f.Add([]byte("\ufeff{\"id\":\"a\",\"type\":\"review\",\"input\":{\"path\":\"a.go\",\"text\":\"package a\"}}\r\n\r\n"))
	f.Add([]byte(`{"id":"a","ID":"b","type":"chat","input":{"prompt":"x"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := batch.Parse("x", bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, batch.ErrFile) || strings.Count(err.Error(), "\n") > 2 || len(err.Error()) > 2000 {
				t.Fatalf("error: %q", err)
			}
			return
		}
		if len(file.Items) == 0 || file.Bytes != len(data) {
			t.Fatalf("%d items, %d bytes of %d", len(file.Items), file.Bytes, len(data))
		}
		ids, again := map[string]bool{}, bytes.Buffer{}
		for _, item := range file.Items {
			if item.ID == "" || ids[item.ID] || (item.Type == batch.TypeRequest) != (file.Form == batch.Requests) {
				t.Fatalf("item %+v", item)
			}
			ids[item.ID] = true
			line := map[string]any{"id": item.ID, "type": item.Type, "input": map[string]string{"path": item.Path, "text": item.Text}}
			switch item.Type {
			case batch.TypeRequest:
				if !json.Valid(item.Body) || item.Body[0] != '{' {
					t.Fatalf("body %q", item.Body)
				}
				line = map[string]any{"custom_id": item.ID, "method": "POST", "url": item.URL, "body": item.Body}
			case batch.TypeChat:
				line["input"] = item.Prompt
			}
			if err := json.NewEncoder(&again).Encode(line); err != nil {
				t.Fatal(err)
			}
		}
		same, err := batch.Parse("x", &again)
		if err != nil || len(same.Items) != len(file.Items) {
			t.Fatalf("written and read again: %v", err)
		}
		for i, item := range same.Items {
			item.Line, item.Body, file.Items[i].Body = file.Items[i].Line, nil, nil
			if fmt.Sprint(item) != fmt.Sprint(file.Items[i]) {
				t.Fatalf("%+v became %+v", file.Items[i], item)
			}
		}
	})
}
