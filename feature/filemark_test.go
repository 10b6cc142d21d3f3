package feature

import "testing"

func TestFileMark(t *testing.T) {
	for _, m := range []FileMark{
		{Name: "a.csv", Bytes: 12, Edges: "ab", Rows: -1},
		{Name: "b c.csv", Bytes: 0, Edges: "00", Rows: 0},
		{Name: "a.csv", Bytes: 12, Edges: "ab", Rows: 7, SHA256: "abcd"},
	} {
		if got, ok := ParseFileMark(m.String()); !ok || got != m {
			t.Errorf("%+v comes back as %+v, %v", m, got, ok)
		}
	}
	for _, text := range []string{"", "a", "a\nb", "a\nx y", "a\n1 y\nz", "a\n1 y\n-1", "a\n1 y\n1\nz\nz"} {
		if m, ok := ParseFileMark(text); ok {
			t.Errorf("%q is read as %+v", text, m)
		}
	}
	whole := FileMark{Bytes: 1, Edges: "a", Rows: 1, SHA256: "x"}
	for _, c := range []struct {
		other FileMark
		same  bool
	}{
		{whole, true},
		{FileMark{Bytes: 1, Edges: "a"}, true},
		{FileMark{Bytes: 1, Edges: "a", SHA256: "y"}, false},
		{FileMark{Bytes: 2, Edges: "a", SHA256: "x"}, false},
		{FileMark{Bytes: 1, Edges: "b"}, false},
	} {
		if whole.Same(c.other) != c.same || c.other.Same(whole) != c.same {
			t.Errorf("%+v: want %v", c.other, c.same)
		}
	}
}
