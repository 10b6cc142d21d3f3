package diag

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestString(t *testing.T) {
	d := Diagnostic{
		File: "rides.yaml", Line: 14, Column: 15, Width: 3, Source: "      window: 1hr",
		Message: `feature "avg_fare_1h": window "1hr" is not a duration`,
		Hint:    "write 1h; the units are us, ms, s, m, h, d and w",
	}
	want := `rides.yaml:14:15: feature "avg_fare_1h": window "1hr" is not a duration
   14 |       window: 1hr
      |               ^^^
  hint: write 1h; the units are us, ms, s, m, h, d and w`
	if got := d.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	d = Diagnostic{Severity: Warning, File: "x", Message: "m"}
	if got := d.String(); got != "x: warning: m" {
		t.Errorf("got %q", got)
	}
}

// The caret stands under the character of the column, whatever is cut from a long line.
func TestCaret(t *testing.T) {
	line := strings.Repeat("é", 90) + "X" + strings.Repeat("b", 300) + "Y"
	for column, mark := range map[int]rune{91: 'X', 392: 'Y'} {
		lines := strings.Split(Diagnostic{File: "x", Line: 1, Column: column, Width: 500, Source: line, Message: "m"}.String(), "\n")
		text, carets := []rune(lines[1]), []rune(lines[2])
		at := strings.IndexRune(lines[2], '^')
		if text[at] != mark || len(carets) > len(text) {
			t.Errorf("column %d: marked %q\n%s\n%s", column, text[at], lines[1], lines[2])
		}
	}
}

func TestControlCharacters(t *testing.T) {
	d := Diagnostic{File: "x", Line: 1, Column: 1, Source: "a\x1b[31m\tb\u202e", Message: "m\nn\x07", Hint: "h\r"}
	if got := d.String(); strings.ContainsAny(got, "\x1b\x07\r\t\u202e") || strings.Count(got, "\n") != 3 {
		t.Errorf("got %q", got)
	}
}

func TestList(t *testing.T) {
	l := List{
		{File: "b", Line: 1, Column: 1, Message: "x"},
		{File: "a", Line: 2, Column: 1, Message: "y", Severity: Warning},
		{File: "a", Line: 1, Column: 9, Message: "z"},
		{File: "a", Line: 1, Column: 2, Message: "w"},
		{File: "b", Line: 1, Column: 1, Message: "x"},
	}.Sort()
	var order string
	for _, d := range l {
		order += d.Message
	}
	if order != "wzyx" {
		t.Errorf("order %s", order)
	}
	if e, w := l.Count(); e != 3 || w != 1 || !l.HasErrors() || l.Err() == nil || l[2:3].Err() != nil {
		t.Errorf("%d errors, %d warnings", e, w)
	}
	var b bytes.Buffer
	if err := l.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back []map[string]any
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || len(back) != 4 || back[2]["severity"] != "warning" || back[0]["column"] != 2.0 {
		t.Errorf("%v: %s", err, b.String())
	}
	b.Reset()
	if err := List(nil).WriteJSON(&b); err != nil || b.String() != "[]\n" {
		t.Errorf("empty list: %q, %v", b.String(), err)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"window", "where", "count", "sum", "stddev", "stddev_pop", "country", "amount"}
	for in, want := range map[string]string{
		"windw": "window", "Window": "window", "hwere": "where", "cuont": "count", "contry": "country", "stdev": "stddev",
		"amuont": "amount", "p99": "", "x": "", "dedupe": "", "": "", "summ": "sum",
	} {
		if got := Nearest(in, names); got != want {
			t.Errorf("nearest to %q: %q, want %q", in, got, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	for want, got := range map[string]string{
		"did you mean abc?":                     Suggest("abd", "sources", []string{"abc", "xyz"}),
		"the sources are abc, def and xyz":      Suggest("nothing", "sources", []string{"abc", "def", "xyz"}),
		"there are no sources":                  Suggest("nothing", "sources", nil),
		"a, a, a, a, a, a, a, a, a, a, a, a, …": Enumerate(strings.Split(strings.Repeat("a", 20), "")),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
