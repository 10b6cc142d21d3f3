package docs_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain is curl for the documents' commands where there is none: this program by that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "curl" {
		os.Exit(m.Run())
	}
	if err := curl(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
		os.Exit(1)
	}
}

// standIn makes this program known as curl.
func standIn(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// curl knows what the documents use: -s, -X, -d for a body, and --data-binary @FILE.
func curl(args []string, out io.Writer) error {
	var url, body string
	method := http.MethodGet
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-s":
		case args[i] == "-d" && i+1 < len(args):
			i++
			method, body = http.MethodPost, args[i]
		case args[i] == "-X" && i+1 < len(args):
			i++
			method = args[i]
		case args[i] == "--data-binary" && i+1 < len(args) && strings.HasPrefix(args[i+1], "@"):
			i++
			b, err := os.ReadFile(args[i][1:])
			if err != nil {
				return err
			}
			method, body = http.MethodPost, string(b)
		case strings.HasPrefix(args[i], "-") || url != "":
			return fmt.Errorf("argument %s is not known here: install curl", args[i])
		default:
			url = args[i]
		}
	}
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(out, res.Body)
	return err
}
