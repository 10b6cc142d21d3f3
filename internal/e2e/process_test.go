package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/internal/built"
	"github.com/penstock-ml/penstock/internal/kafkatest"
)

// program is the real program, built once; verbs is it for all but `run`, never with the race detector.
var program, verbs string

var (
	raceFlag     string
	defaultKills = 30 // of TestKill
	drawnKills   = 20 // of TestKillDrawn
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "penstock-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		verbs, err = built.Into(dir, built.Penstock)
		program = verbs
		if err == nil && raceFlag != "" {
			race := filepath.Join(dir, "race")
			if err = os.Mkdir(race, 0o700); err == nil {
				program, err = built.Into(race, built.Penstock, raceFlag)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return kafkatest.Main(m)
	}())
}

// seed is that of the scenario.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(1)
	if s := os.Getenv("PENSTOCK_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PENSTOCK_SEED=%d", n)
	return n
}

// pause waits, as a user of the program would, between two looks at it.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// eventually asks until ask answers nil.
func eventually(t *testing.T, patience time.Duration, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("after %s: %v", patience, err)
		}
	}
}

// locked is a buffer that a process writes and a test reads.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// server is a running penstock.
type server struct {
	cmd  *exec.Cmd
	dir  string
	url  string
	log  *locked
	done chan error // what Wait said
}

// launch starts `penstock run` and does not wait for anything.
func launch(t *testing.T, file, dir string, args ...string) *server {
	t.Helper()
	return launchAs(t, program, nil, file, dir, args...)
}

// launchAs starts `penstock run` of a binary, with more in its environment.
func launchAs(t *testing.T, binary string, env []string, file, dir string, args ...string) *server {
	t.Helper()
	s := &server{dir: dir, log: &locked{}, done: make(chan error, 1)}
	s.cmd = exec.Command(binary, append([]string{"run", file, "--state", dir, "--listen", "127.0.0.1:0"}, args...)...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stderr, s.cmd.Stdout = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		text := s.log.String()
		for _, bad := range []string{"DATA RACE", "panic: ", "fatal error: "} {
			if strings.Contains(text, bad) {
				t.Errorf("process %d wrote %q", s.cmd.Process.Pid, bad)
			}
		}
		if t.Failed() {
			t.Logf("log of process %d:\n%s", s.cmd.Process.Pid, text[max(0, len(text)-4000):])
		}
	})
	return s
}

// start launches and waits until the server has its address.
func start(t *testing.T, file, dir string, args ...string) *server {
	t.Helper()
	s := launch(t, file, dir, args...)
	eventually(t, time.Minute, func() error {
		select {
		case err := <-s.done:
			t.Fatalf("penstock ended: %v\n%s", err, s.log)
		default:
		}
		return s.find()
	})
	return s
}

// find reads the server's address, if it has written one.
func (s *server) find() error {
	b, err := os.ReadFile(filepath.Join(s.dir, "server.json"))
	if err != nil {
		return err
	}
	var f struct {
		URL string
		PID int
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	if f.PID != s.cmd.Process.Pid {
		return fmt.Errorf("server.json is of process %d", f.PID)
	}
	s.url = f.URL
	return nil
}

// kill is SIGKILL.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("kill: %v\n%s", err, s.log)
	}
	err := <-s.done
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended by itself: %v\n%s", err, s.log)
	}
}

// stop is SIGTERM: the process must leave with 0, within seconds.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop: %v\n%s", err, s.log)
	}
	select {
	case err := <-s.done:
		if err != nil {
			t.Fatalf("stop: %v\n%s", err, s.log)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("still there 20 s after SIGTERM\n%s", s.log)
	}
}

// exit waits until the process ends by itself and returns its exit code.
func (s *server) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		t.Fatalf("still there after a minute\n%s", s.log)
		return 0
	}
}

// get asks the server.
func (s *server) get(path string) (code int, body string, err error) {
	c := http.Client{Timeout: 10 * time.Second}
	res, err := c.Get(s.url + path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

var sample = regexp.MustCompile(`(?m)^(penstock_[a-z_]+)(?:\{([^}]*)\})? (\S+)$`)

// metrics reads /metrics: values by name{labels}.
func (s *server) metrics() (map[string]float64, error) {
	code, body, err := s.get("/metrics")
	if err != nil || code != http.StatusOK {
		return nil, fmt.Errorf("metrics: %d %w", code, err)
	}
	out := map[string]float64{}
	for _, m := range sample.FindAllStringSubmatch(body, -1) {
		f, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return nil, err
		}
		out[m[1]+"{"+m[2]+"}"] = f
	}
	return out, nil
}

// post asks a question and answers the body.
func (s *server) post(path string, question any) (int, []byte, error) {
	b, err := json.Marshal(question)
	if err != nil {
		return 0, nil, err
	}
	res, err := http.Post(s.url+path, "application/json", bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// penstock runs a verb to its end.
func penstock(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(verbs, args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}
