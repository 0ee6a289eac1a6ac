package books

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// maxDifferences bounds how many differences of one result are spelled out.
const maxDifferences = 5

// differences says where two JSON values differ: "complexity.max is 12, recomputed 11".
func differences(got, want []byte) []string {
	var d differ
	d.walk("", decode(got), decode(want))
	if rest := len(d.texts) - maxDifferences; rest > 0 {
		return append(d.texts[:maxDifferences], fmt.Sprintf("and %d more", rest))
	}
	return d.texts
}

func decode(data []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // large figures must not be rounded into being equal
	var v any
	if err := decoder.Decode(&v); err != nil {
		return absent{}
	}
	return v
}

// absent stands for a value that is not there.
type absent struct{}

type differ struct{ texts []string }

func (d *differ) walk(at string, got, want any) {
	switch want := want.(type) {
	case map[string]any:
		if got, ok := got.(map[string]any); ok {
			d.walkObject(at, got, want)
			return
		}
	case []any:
		if got, ok := got.([]any); ok {
			for i := range max(len(got), len(want)) {
				d.walk(fmt.Sprintf("%s[%d]", at, i), element(got, i), element(want, i))
			}
			return
		}
	default:
		if _, nested := got.(map[string]any); !nested {
			if _, nested := got.([]any); !nested && got == want {
				return
			}
		}
	}
	if at == "" {
		at = "the result"
	}
	d.texts = append(d.texts, fmt.Sprintf("%s is %s, recomputed %s", at, show(got), show(want)))
}

func (d *differ) walkObject(at string, got, want map[string]any) {
	keys := maps.Clone(got)
	maps.Copy(keys, want)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		path := key
		if at != "" {
			path = at + "." + key
		}
		d.walk(path, field(got, key), field(want, key))
	}
}

func field(object map[string]any, key string) any {
	if v, ok := object[key]; ok {
		return v
	}
	return absent{}
}

func element(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return absent{}
}

// show is a value on one line of bounded length.
func show(v any) string {
	if _, none := v.(absent); none {
		return "nothing"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if text := []rune(string(data)); len(text) > 80 {
		return string(text[:79]) + "…"
	}
	return string(data)
}
