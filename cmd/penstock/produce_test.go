package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/internal/flights/embedded"
)

// TestProduceExample sends the example's CSV through a broker and a registry; the table that is then
// exported is the one that the example makes from the file.
func TestProduceExample(t *testing.T) {
	const example = "../../examples/transactions"
	services, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(services.Close)
	verb := func(want string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != exitDone || !strings.HasPrefix(out.String(), want) {
			t.Fatalf("%s: exit code %d: %s%s", args[0], code, out.String(), errs.String())
		}
	}
	verb("produced 61 rows to transactions, schema id 1\n",
		"produce", filepath.Join(example, "transactions.csv"), "--brokers", services.Brokers()[0], "--topic", "transactions",
		"--schema", filepath.Join(example, "transactions.avsc"), "--registry", services.Registry(), "--key", "user_id", "--time", "ts", "--partitions", "3")

	dir := t.TempDir()
	source := "    kafka: {brokers: [\"" + services.Brokers()[0] + "\"], topic: transactions}\n    schema: {registry: \"" + services.Registry() + "\"}\n"
	text := string(readFile(t, example, "pipeline.yaml"))
	text = strings.Replace(text, "    file: {path: transactions.csv}\n    schema: {file: transactions.avsc}\n", source, 1)
	if !strings.Contains(text, source) {
		t.Fatal("the example's source is written otherwise than this test knows")
	}
	file, state, table := filepath.Join(dir, "pipeline.yaml"), filepath.Join(dir, "state"), filepath.Join(dir, "training.csv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := serveUntilRead(t, file, state, "61")
	verb("wrote ", "export", file, "--state", state, "--spine", filepath.Join(example, "spine.csv"), "--set", "fraud", "--out", table)
	stop()
	if got, want := readFile(t, table), readFile(t, example, "training.csv"); !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// serveUntilRead runs a pipeline and returns once as many records are read; stop ends it.
func serveUntilRead(t *testing.T, file, state, records string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"run", file, "--state", state, "--listen", "127.0.0.1:0"}, io.Discard, &errs)
	}()
	stop = func() {
		t.Helper()
		cancel()
		if code := <-done; code != exitDone {
			t.Fatalf("run: exit code %d: %s", code, errs.String())
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for {
		var f serverFile
		if b, err := os.ReadFile(serverPath(state)); err == nil && json.Unmarshal(b, &f) == nil {
			_, body, err := fetch(f.URL + "/metrics")
			if err == nil && strings.Contains(body, `penstock_records_read_total{source="transactions"} `+records) {
				return stop
			}
		}
		select {
		case <-tick.C:
		case <-end:
			stop()
			t.Fatalf("not all is read: %s", errs.String())
		}
	}
}
