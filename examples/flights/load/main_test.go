package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/internal/flights/embedded"
)

func TestLoad(t *testing.T) {
	services, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer services.Close()
	spine := filepath.Join(t.TempDir(), "spine.csv")
	var out, errs bytes.Buffer
	args := []string{"--brokers", services.Brokers()[0], "--registry", services.Registry(), "--before", "2013-01-02T00:00:00Z", "--spine", spine}
	if code := run(t.Context(), args, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	b, err := os.ReadFile(spine)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sent 694 departures\n", "sent 498 arrivals\n", ": 498 rows, label rate 0.2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if n := strings.Count(string(b), "\n"); n != 499 {
		t.Errorf("the spine has %d lines", n)
	}
	for _, args := range [][]string{{"--before", "yesterday"}, {"--what"}} {
		if code := run(t.Context(), args, &out, &errs); code != 2 {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}
