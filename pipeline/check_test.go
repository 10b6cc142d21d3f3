package pipeline

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected files")

// golden compares got with a file, or rewrites it under -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what is made now (go test ./pipeline -update rewrites it):\n%s", path, got)
	}
}

// checkEnv is the environment of the golden files.
func checkEnv(name string) (string, bool) {
	v, ok := map[string]string{"USER_NAME": "alice-from-env", "BROKER": "bad-broker-from-env", "WINDOW": "window-from-env"}[name]
	return v, ok
}

func TestCheck(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			plan, diags := Load(path, Options{Env: checkEnv})
			if plan != nil && diags.HasErrors() {
				t.Error("a plan in spite of errors")
			}
			for i := range diags {
				diags[i].File = filepath.Base(diags[i].File)
			}
			text := diags.String()
			for _, secret := range []string{"hunter2", "from-env"} {
				if strings.Contains(text, secret) {
					t.Errorf("%q is printed", secret)
				}
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", text)
		})
	}
}

// checkFiles returns the contents of the golden files, as seeds.
func checkFiles(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/check/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}
