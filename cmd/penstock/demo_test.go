package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/flights"
)

// demoUntil ends the tests' demos: five days and a half.
func demoUntil(t *testing.T) event.Time {
	t.Helper()
	until, err := event.ParseTime("2013-01-06T12:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	return until
}

// demoOnce runs the verb into dir and returns its lines.
func demoOnce(t *testing.T, dir string) []string {
	t.Helper()
	var out, errs bytes.Buffer
	e := env{ctx: t.Context(), out: &out, errs: &errs, log: slog.New(slog.NewTextHandler(&errs, nil))}
	if err := (demoCmd{Once: true, Dir: dir, Speed: 600, Until: demoUntil(t)}).Run(&e); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	if errs.Len() > 0 {
		t.Errorf("stderr: %s", errs.String())
	}
	return strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDemoOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	lines := demoOnce(t, dir)
	rows := flights.Sample(flights.Examples(flights.All(), demoUntil(t)), demoSample)
	want := fmt.Sprintf("wrote training.parquet: %d rows, 23 features, label rate %.4f", len(rows), flights.LateShare(rows))
	if last := lines[len(lines)-1]; last != want {
		t.Errorf("got %q, want %q", last, want)
	}
	if got, want := names(t, dir), []string{"pipeline.yaml", "spine.csv", "state", "training.csv", "training.parquet"}; !slices.Equal(got, want) {
		t.Errorf("got files %v, want %v", got, want)
	}
	if !bytes.Equal(readFile(t, dir, "pipeline.yaml"), readFile(t, "../../examples/flights/pipeline.yaml")) {
		t.Error("pipeline.yaml is not the example's")
	}
	text := readFile(t, dir, "training.csv")
	checkTraining(t, text, rows)
	checkParquet(t, filepath.Join(dir, "training.parquet"), len(rows))

	t.Run("twice", func(t *testing.T) {
		parquet := readFile(t, dir, "training.parquet")
		demoOnce(t, dir) // its own directory: replaced
		if !bytes.Equal(text, readFile(t, dir, "training.csv")) || !bytes.Equal(parquet, readFile(t, dir, "training.parquet")) {
			t.Error("two demos write different tables")
		}
	})
	t.Run("again", func(t *testing.T) { // what the demo left can be exported from without its broker
		var out, errs bytes.Buffer
		csv := filepath.Join(t.TempDir(), "again.csv")
		args := []string{
			"export", filepath.Join(dir, "pipeline.yaml"), "--state", filepath.Join(dir, "state"),
			"--spine", filepath.Join(dir, "spine.csv"), "--set", demoSet, "--out", csv,
		}
		if code := run(t.Context(), args, &out, &errs); code != exitDone {
			t.Fatalf("exit code %d: %s", code, errs.String())
		}
		if !bytes.Equal(text, readFile(t, csv)) {
			t.Error("an export of the state differs from the demo's table")
		}
	})
}

// checkTraining compares what the table carries through with the flights, and looks at the features: most
// are there, and none is the label.
func checkTraining(t *testing.T, text []byte, rows []*flights.Flight) {
	t.Helper()
	got, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	head, got := got[0], got[1:]
	if len(got) != len(rows) {
		t.Fatalf("%d rows, want %d", len(got), len(rows))
	}
	late := slices.Index(head, "late")
	agree, present, n := make([]int, len(head)), make([]int, len(head)), 0
	for i, row := range got {
		if row[0] != rows[i].ID() || (row[late] == "1") != rows[i].Late() {
			t.Fatalf("row %d is %v, want flight %s", i, row, rows[i].ID())
		}
		n += strings.Count(row[late], "1")
		for j, cell := range row {
			if cell != "" {
				present[j]++
			}
			var x float64
			if _, err := fmt.Sscan(cell, &x); err == nil && (x > flights.LateMinutes) == rows[i].Late() {
				agree[j]++
			}
		}
	}
	if rate := float64(n) / float64(len(rows)); rate < 0.1 || rate > 0.35 {
		t.Errorf("label rate %v", rate)
	}
	for j := late + 1; j < len(head); j++ {
		if present[j] < len(rows)/2 {
			t.Errorf("%s has %d values in %d rows", head[j], present[j], len(rows))
		}
		if agree[j] > len(rows)*95/100 {
			t.Errorf("%s tells the label in %d of %d rows: it leaks", head[j], agree[j], len(rows))
		}
	}
}

func checkParquet(t *testing.T, path string, rows int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	if p.NumRows() != int64(rows) || len(p.Schema().Fields()) != 9+23 {
		t.Errorf("%d rows of %d columns", p.NumRows(), len(p.Schema().Fields()))
	}
}

func TestDemoDirectories(t *testing.T) {
	demo := func(args ...string) (code int, out, errs string) {
		var o, e bytes.Buffer
		code = run(t.Context(), append([]string{"demo"}, args...), &o, &e)
		return code, o.String(), e.String()
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "pipeline.yaml"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := demo("--once", "--dir", full)
	if code != exitFailed || !strings.Contains(errs, "is not empty") || !strings.Contains(errs, "hint: ") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if got := string(readFile(t, full, "pipeline.yaml")); got != "mine" {
		t.Errorf("somebody's file is now %q", got)
	}
	if code, _, errs := demo("--speed", "0"); code != exitMisuse || !strings.Contains(errs, "--speed") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	t.Setenv("TMPDIR", t.TempDir())
	code, out, errs := demo("--listen", ln.Addr().String())
	if code != exitFailed || !strings.Contains(errs, "address already in use") || !strings.Contains(errs, "--listen") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if !strings.Contains(out, os.TempDir()) || len(names(t, os.TempDir())) > 0 {
		t.Errorf("the temporary directory is not printed or not removed: %v\n%s", names(t, os.TempDir()), out)
	}
}

// paste runs a command as a shell would; this program's own verbs run in this process.
func paste(t *testing.T, command string) (string, error) {
	t.Helper()
	rest, own := strings.CutPrefix(command, ownName()+" ")
	if own {
		command = "printf '%s\\n' " + rest
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput()
	if !own || err != nil {
		return string(out), err
	}
	var text bytes.Buffer
	if code := run(t.Context(), strings.Split(strings.TrimRight(string(out), "\n"), "\n"), &text, &text); code != exitDone {
		err = fmt.Errorf("exit code %d", code)
	}
	return text.String(), err
}

// TestDemoLive pastes what the demo prints, and ends it as Ctrl-C does.
func TestDemoLive(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "grep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	dir := filepath.Join(t.TempDir(), "it's a demo")
	r, w := io.Pipe()
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		e := env{ctx: ctx, out: w, errs: &errs, log: slog.New(slog.NewTextHandler(&errs, nil))}
		code := report(&errs, demoCmd{Dir: dir, Listen: "127.0.0.1:0", Speed: 600, Until: demoUntil(t)}.Run(&e))
		_ = w.Close()
		done <- code
	}()
	var commands []string
	var page string
	lines := bufio.NewScanner(r)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Ctrl-C") {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "The page: "); ok {
			page = rest
		}
		if cmd, ok := strings.CutPrefix(line, "  "); ok && (strings.HasPrefix(cmd, "curl ") || strings.HasPrefix(cmd, ownName()+" ")) {
			commands = append(commands, cmd)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if len(commands) != 3 || page == "" {
		stop()
		<-done
		t.Fatalf("commands %q, page %q\n%s", commands, page, errs.String())
	}
	known := len(flights.Examples(flights.All(), demoUntil(t)))
	for i, want := range []string{`"status":["present"`, fmt.Sprintf("%d rows, 23 features", known), `view="aircraft_arrivals"`} {
		out, err := paste(t, commands[i])
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v: %q is not in\n%s", commands[i], err, want, out)
		}
	}
	res, err := http.Get(page)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("page %s: %v", page, err)
	}
	if err == nil {
		_ = res.Body.Close()
	}
	stop()
	if code := <-done; code != exitDone {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	checkParquet(t, filepath.Join(dir, "training.parquet"), known)
}
