package script

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScripts runs the engine's own scripts and the examples' tests: as they are, killed after every step, and
// restarted after every step, each on another number of shards.
func TestScripts(t *testing.T) {
	files, err := Files([]string{"../../examples"})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 3 {
		t.Fatalf("only %v: is the walk broken?", files)
	}
	for _, file := range files {
		t.Run(filepath.ToSlash(file), func(t *testing.T) {
			s, found := Load(file)
			if err := found.Err(); err != nil {
				t.Fatal(err)
			}
			for _, c := range s.Cases {
				t.Run(c.Name, func(t *testing.T) {
					r := c.Run(t.Context(), true)
					for i := range r.Failures {
						t.Error(r.Failures[i].String())
					}
				})
			}
		})
	}
}

// TestGolden runs the files of testdata/*.txtar: x_test.yaml and what it names, and compares what is printed
// with the file want. PENSTOCK_UPDATE=1 rewrites it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir, want := t.TempDir(), ""
			for _, f := range a.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := strings.ReplaceAll(printed(t, filepath.Join(dir, "x_test.yaml")), dir+string(filepath.Separator), "")
			if got == want {
				return
			}
			if os.Getenv("PENSTOCK_UPDATE") != "1" {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			for i := range a.Files {
				if a.Files[i].Name == "want" {
					a.Files[i].Data = []byte(got)
				}
			}
			if err := os.WriteFile(file, txtar.Format(a), 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// printed is what a file's mistakes or failures look like, without times.
func printed(t *testing.T, file string) string {
	s, found := Load(file)
	if len(found) > 0 {
		return found.String()
	}
	results := Run(t.Context(), []*Suite{s}, Options{})
	for i := range results {
		results[i].Took = 0
	}
	var b bytes.Buffer
	if err := WriteText(&b, results, true); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestJUnit(t *testing.T) {
	results := []Result{
		{File: "a_test.yaml", Name: "good", Line: 3},
		{File: "a_test.yaml", Name: "bad & worse", Line: 9, Failures: []Failure{{Got: "1", Want: "2"}, {}}},
		{File: "b_test.yaml", Name: "good", Line: 3},
	}
	results[1].Failures[0].Message = "n is 1, expected <2>"
	var b bytes.Buffer
	if err := WriteJUnit(&b, results, 0); err != nil {
		t.Fatal(err)
	}
	var back junitSuites
	if err := xml.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Tests != 3 || back.Failures != 1 || len(back.Suites) != 2 || back.Suites[0].Failures != 1 ||
		back.Suites[0].Cases[1].Failure.Message != results[1].Failures[0].Message || back.Suites[1].Cases[0].Failure != nil {
		t.Errorf("got\n%s", b.String())
	}
}

// FuzzLoad reads any bytes as a test file: mistakes, never a panic, always inside the file.
func FuzzLoad(f *testing.F) {
	for _, glob := range []string{"../../examples/semantics/*_test.yaml", "testdata/*.txtar"} {
		files, _ := filepath.Glob(glob)
		for _, file := range files {
			if b, err := os.ReadFile(file); err == nil {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if bytes.Contains(src, []byte("_times")) {
			return // what it asks for is made
		}
		s, found := Parse(filepath.Join(t.TempDir(), "x_test.yaml"), src)
		if (s == nil) != found.HasErrors() {
			t.Fatalf("suite %v, mistakes %v", s != nil, found)
		}
		lines := bytes.Count(src, []byte("\n")) + 1
		for _, d := range found {
			if d.Line > lines || d.Column < 0 {
				t.Errorf("%d:%d is outside the file: %s", d.Line, d.Column, d.Message)
			}
		}
	})
}
