package export

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzJSONLine: the members that are found are those that encoding/json finds, and what it refuses is refused.
func FuzzJSONLine(f *testing.F) {
	f.Add([]byte(`{"a": 1, "b": "x\"}", "c": {"d": [1, {"e": "]"}]}, "f": null}`))
	f.Add([]byte(`{"a":-1.5e3,"\u0061b":true}`))
	f.Add([]byte(`{"a":[],"b":{}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		line = bytes.TrimLeft(line, " \t\r\n")
		if len(line) == 0 {
			return
		}
		got := map[string]json.RawMessage{}
		err := eachMember(line, map[string]struct{}{}, func(name string, value []byte) error {
			got[string([]byte(name))] = bytes.Clone(value)
			return nil
		})
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(line, &want)
		if line[0] != '{' || !utf8.Valid(line) || wantErr != nil {
			if err == nil {
				t.Fatalf("%q is accepted", line)
			}
			return
		}
		if err != nil {
			if len(want) > 0 && bytes.Contains([]byte(err.Error()), []byte("comes twice")) {
				return // encoding/json takes the last
			}
			t.Fatalf("%q: %v", line, err)
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d members, want %d", line, len(got), len(want))
		}
		for name, value := range want {
			if !bytes.Equal(bytes.TrimSpace(value), got[name]) {
				t.Fatalf("%q: member %q is %q, want %q", line, name, got[name], value)
			}
			_ = kindOfJSON(got[name])
		}
	})
}
