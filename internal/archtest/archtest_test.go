// Package archtest keeps the rooms of the repository apart: which packages may import which, and what
// must stand at the top. It reads the files anew on every run, so that no cached answer hides a
// violation.
package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/penstock-ml/penstock/"

// rooms names what each room may import of ours, itself and its subpackages aside. Rooms that are not
// named (cmd, bench, internal, deploy) may import everything but cmd.
var rooms = map[string][]string{
	"event":      {},
	"schemas":    {"event"},
	"transforms": {"event"},
	"state":      {"event", "internal/failpoint"},
	"pipeline":   {"event", "schemas", "transforms", "internal/diag"},
	"feature":    {"event", "state", "pipeline", "transforms", "internal/failpoint"},
	"stream":     {"event", "schemas", "pipeline", "feature"},
	"serve":      {"event", "pipeline", "feature"},
	"export":     {"event", "pipeline", "feature"},
}

// impure are the parts of the standard library that a room of pure functions has no use for.
var impure = []string{"os", "net", "syscall", "io/fs", "log"}

// TestImports checks the import directions of every file; a test may import what it likes, but not cmd.
func TestImports(t *testing.T) {
	seen := map[string]bool{}
	walk(t, func(path string) {
		if !strings.HasSuffix(path, ".go") {
			return
		}
		room, _, _ := strings.Cut(path, "/")
		seen[room] = true
		file, fset := parse(t, path)
		for _, spec := range file.Imports {
			if why := forbidden(room, path, importPath(t, spec)); why != "" {
				t.Errorf("%s: imports %s: %s", fset.Position(spec.Pos()), spec.Path.Value, why)
			}
		}
		if room == "transforms" && !strings.HasSuffix(path, "_test.go") {
			pure(t, fset, file)
		}
	})
	for room := range rooms {
		if !seen[room] {
			t.Errorf("room %s has no Go file: is the walk broken, or the room gone?", room)
		}
	}
}

// forbidden says why a file may not import a package, or nothing.
func forbidden(room, path, imported string) string {
	ours, isOurs := strings.CutPrefix(imported, module)
	if isOurs && (ours == "cmd" || strings.HasPrefix(ours, "cmd/")) && room != "cmd" {
		return "nothing imports cmd"
	}
	allowed, ruled := rooms[room]
	if !ruled || strings.HasSuffix(path, "_test.go") {
		return ""
	}
	if isOurs {
		if slices.ContainsFunc(append(allowed, room), func(a string) bool { return ours == a || strings.HasPrefix(ours, a+"/") }) {
			return ""
		}
		return room + " may see only " + strings.Join(append([]string{room}, allowed...), ", ")
	}
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case room == "event" && strings.Contains(first, "."):
		return "event sees the standard library only"
	case room == "transforms" && (slices.Contains(impure, imported) || strings.HasPrefix(imported, "net/")):
		return "transforms are pure"
	case room != "state" && strings.HasPrefix(imported, "github.com/dgraph-io/badger"):
		return "only state knows Badger"
	}
	return ""
}

// pure checks that a file starts no goroutine and reads no clock.
func pure(t *testing.T, fset *token.FileSet, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: transforms start no goroutine", fset.Position(n.Pos()))
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && (n.Sel.Name == "Now" || n.Sel.Name == "Since") {
				t.Errorf("%s: transforms read no clock", fset.Position(n.Pos()))
			}
		}
		return true
	})
}

// TestRules checks the rules themselves, on imports that they must refuse and must allow.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		path, imported string
		ok             bool
	}{
		{"event/a.go", "strconv", true},
		{"event/a.go", "github.com/x/y", false},
		{"event/a_test.go", "github.com/x/y", true},
		{"schemas/a.go", module + "event", true},
		{"schemas/a.go", module + "transforms/agg", false},
		{"transforms/agg/a.go", module + "transforms/window", true},
		{"transforms/agg/a.go", "net/http", false},
		{"pipeline/a.go", module + "internal/diag", true},
		{"pipeline/a.go", module + "internal/other", false},
		{"feature/a.go", module + "stream", false},
		{"feature/a.go", "github.com/dgraph-io/badger/v4", false},
		{"state/a.go", "github.com/dgraph-io/badger/v4", true},
		{"serve/a.go", module + "state", false},
		{"serve/a.go", module + "export", false},
		{"export/a.go", module + "transforms/agg", false},
		{"stream/a.go", module + "schemas", true},
		{"stream/a_test.go", module + "cmd/penstock", false},
		{"internal/x/a.go", module + "feature", true},
		{"internal/x/a.go", module + "cmd/penstock", false},
		{"cmd/penstock/a.go", module + "serve", true},
		{"eventful/a.go", module + "cmd", false},
		{"schemas/a.go", module + "eventful", false},
	} {
		room, _, _ := strings.Cut(c.path, "/")
		if why := forbidden(room, c.path, c.imported); (why == "") != c.ok {
			t.Errorf("%s importing %s: %q, want allowed: %t", c.path, c.imported, why, c.ok)
		}
	}
}

// TestTop checks what people expect at the top of the repository.
func TestTop(t *testing.T) {
	for _, name := range []string{
		"cmd", "stream", "transforms", "state", "schemas", "deploy", "go.mod", "go.sum",
		"docker-compose.yml", "LICENSE", "NOTICE", "Makefile",
	} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
}

// machine matches paths that exist on one developer's machine only.
var machine = regexp.MustCompile(`(^|[\s"'=(:,\x60])/(home|Users|root|work|workspace)/`)

// TestNoMachinePaths checks that no file names a path of somebody's machine.
func TestNoMachinePaths(t *testing.T) {
	binary := regexp.MustCompile(`\.(gz|zst|parquet|avro|png|ico|jar|bin)$`)
	walk(t, func(path string) {
		if binary.MatchString(path) {
			return
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if machine.MatchString(line) {
				t.Errorf("%s:%d: names a path of one machine: %.120s", path, i+1, line)
			}
		}
	})
}

const root = "../.."

// walk calls f with the slash path of every file that belongs to the repository.
func walk(t *testing.T, f func(path string)) {
	t.Helper()
	skip := []string{".git", ".cache", "target", "dist", "node_modules"}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skip, d.Name()):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if info, e := d.Info(); e == nil && info.Size() < 8<<20 { // not a built binary
			f(filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, path string) (*ast.File, *token.FileSet) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, filepath.Join(root, filepath.FromSlash(path)), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file, fset
}

func importPath(t *testing.T, spec *ast.ImportSpec) string {
	t.Helper()
	path, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
