// Package docs_test runs every shell command of the project's Markdown files, compares what is shown as
// their output, and follows every link.
//
// A fenced block of `sh` is run, unless the line before it says `<!-- not run: why -->`. Blocks of one file
// run in order, in one scratch folder made for that file:
//
//   - `penstock run` and `penstock demo` (without --once) stay until the file is done, or until a line
//     `<!-- stopped -->` before a block; the next command waits until all that can be read is read;
//   - `make target` is not run: the target must exist;
//   - everything else must end with exit code 0.
//
// Addresses of the documents (localhost:8080 and so on) are replaced by free ones. A fenced block behind the line
// `<!-- output -->` is what the last command prints; `json` is compared as JSON.
package docs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/internal/built"
	"github.com/penstock-ml/penstock/internal/flights/embedded"
)

// root is the repository's folder.
const root = ".."

// earlier bounds the flights that the commands of documents load, so that the test is quick.
const earlier = " --before 2013-01-04T00:00:00Z"

// scenarios make the scratch folder that a document's commands are run in. Documents without shell
// commands need none; in others, `make` and what is not run need none either.
var scenarios = map[string]func(*session){
	"README.md":                       (*session).flightsReady,
	"docs/serving.md":                 (*session).transactions,
	"docs/explain.md":                 (*session).transactions,
	"docs/exports.md":                 (*session).transactions,
	"docs/testing.md":                 (*session).transactions,
	"examples/transactions/README.md": (*session).transactions,
	"examples/semantics/README.md":    (*session).semantics,
	"examples/flights/README.md":      (*session).flights,
}

func TestCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program")
	}
	bin := build(t)
	if _, err := exec.LookPath("curl"); err != nil {
		standIn(t, filepath.Join(bin, "curl"))
	}
	for _, file := range documents(t) {
		var blocks []block
		for _, b := range parse(t, file) {
			if b.shell || b.output {
				blocks = append(blocks, b)
			}
		}
		if len(blocks) == 0 {
			continue
		}
		t.Run(file, func(t *testing.T) { run(t, file, bin, blocks) })
	}
}

// build returns a folder with penstock and the program of the flights example.
func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for _, pkg := range []string{built.Penstock, "github.com/penstock-ml/penstock/examples/flights/load"} {
		if _, err := built.Into(bin, pkg); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// run runs the blocks of one document.
func run(t *testing.T, file, bin string, blocks []block) {
	s := &session{t: t, dir: t.TempDir(), addr: freeAddr(t)}
	s.env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+s.dir)
	s.replace = []string{"http://localhost:8080", "http://" + s.addr, "localhost:8080", s.addr, "127.0.0.1:8080", s.addr}
	defer func() { s.stop() }()
	ready := false
	for _, b := range blocks {
		if b.output {
			s.compare(file, b)
			continue
		}
		if b.notRun != "" {
			continue
		}
		if b.stopped {
			s.stop()
		}
		for _, c := range commands(t, file, b) {
			if target, ok := strings.CutPrefix(c, "make "); ok {
				checkTarget(t, file, strings.Fields(target)[0])
				continue
			}
			if !ready {
				prepare := scenarios[file]
				if prepare == nil {
					t.Fatalf("%s:%d: nothing says where %q is run: add the document to scenarios, or write <!-- not run: why --> before the block", file, b.line, c)
				}
				prepare(s)
				ready = true
			}
			began := time.Now()
			s.command(fmt.Sprintf("%s:%d", file, b.line), c)
			t.Logf("%.2f s: %s", time.Since(began).Seconds(), c)
		}
	}
}

// session is one document's scratch folder and what runs in it.
type session struct {
	t       *testing.T
	dir     string
	env     []string
	addr    string   // what stands for the default address
	replace []string // what the document says, what is meant here, and so on
	service *exec.Cmd
	said    *bytes.Buffer // by the service on stderr
	last    string        // output of the last command
}

// service matches commands that serve until they are stopped.
var service = regexp.MustCompile(`^([A-Z_]+=\S+ )*penstock (run|demo)\b`)

func (s *session) command(at, text string) {
	s.t.Helper()
	text = strings.NewReplacer(s.replace...).Replace(text)
	if service.MatchString(text) && !strings.Contains(text, "--once") {
		s.stop()
		s.start(at, text)
		return
	}
	text = strings.Replace(text, "go run ./examples/flights/load", "load"+earlier, 1)
	c := s.shell(text)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("%s: %s\n%v\n%s%s", at, text, err, out, errs.Bytes())
	}
	s.last = string(out)
}

func (s *session) shell(text string) *exec.Cmd {
	c := exec.CommandContext(s.t.Context(), "sh", "-euc", text)
	c.Dir, c.Env = s.dir, s.env
	return c
}

// start starts a server and waits until all that can be read is read.
func (s *session) start(at, text string) {
	s.t.Helper()
	text, _, _ = strings.Cut(text, " #")
	s.service, s.said = s.shell("exec env "+strings.TrimSpace(text)+" --listen "+s.addr), &bytes.Buffer{}
	s.service.Stderr = s.said
	if err := s.service.Start(); err != nil {
		s.t.Fatalf("%s: %v", at, err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for {
		err := caughtUp("http://" + s.addr)
		if err == nil {
			return
		}
		select {
		case <-end:
			s.stop()
			s.t.Fatalf("%s: %s: after 30 s: %v\n%s", at, text, err, s.said)
		case <-tick.C:
		}
	}
}

// stop ends the server as Ctrl-C does.
func (s *session) stop() {
	if s.service == nil {
		return
	}
	c := s.service
	s.service = nil
	_ = c.Process.Signal(syscall.SIGINT)
	if err := c.Wait(); err != nil {
		s.t.Errorf("%s: %v\n%s", c.Args, err, s.said)
	}
}

// caughtUp is nil when a server is ready, has read something, and has nothing left to read.
func caughtUp(url string) error {
	if _, err := get(url + "/readyz"); err != nil {
		return err
	}
	body, err := get(url + "/v1/pipeline")
	if err != nil {
		return err
	}
	var d struct {
		Sources []struct {
			Name string
			Read int64
			Lag  *int64
		}
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		return err
	}
	for _, x := range d.Sources {
		if x.Read == 0 || x.Lag == nil || *x.Lag > 0 {
			return fmt.Errorf("source %s is not read to its end: %s", x.Name, body)
		}
	}
	return nil
}

func get(url string) (string, error) {
	c := http.Client{Timeout: 5 * time.Second}
	defer c.CloseIdleConnections()
	res, err := c.Get(url)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", url, res.Status, b)
	}
	return string(b), nil
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// transactions is a copy of the example.
func (s *session) transactions() { s.copyDir("examples/transactions", s.dir) }

// semantics is a copy of the engine's own tests.
func (s *session) semantics() { s.copyDir("examples/semantics", s.dir) }

// flights is the repository's examples, beside a broker and a registry without anything in them.
func (s *session) flights() {
	s.t.Helper()
	services, err := embedded.Start()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(services.Close)
	broker, registry := services.Brokers()[0], services.Registry()
	s.replace = append(s.replace, "http://localhost:8081", registry, "localhost:9092", broker)
	s.env = append(s.env, "KAFKA_BROKERS="+broker, "SCHEMA_REGISTRY_URL="+registry)
	s.copyDir("examples", filepath.Join(s.dir, "examples"))
}

// flightsReady has the flights in the broker, and the pipeline and a spine in the folder.
func (s *session) flightsReady() {
	s.t.Helper()
	s.flights()
	s.command("setup", `go run ./examples/flights/load --brokers localhost:9092 --registry http://localhost:8081 --spine labels.csv
cp examples/flights/*.avsc examples/flights/*.yaml .`)
}

func (s *session) copyDir(from, to string) {
	s.t.Helper()
	if err := os.CopyFS(to, os.DirFS(filepath.Join(root, from))); err != nil {
		s.t.Fatal(err)
	}
}

// compare compares what the last command printed with what the document shows.
func (s *session) compare(file string, b block) {
	s.t.Helper()
	got, want := strings.TrimSpace(s.last), strings.TrimSpace(b.text)
	same := got == want
	if b.lang == "json" {
		x, wrong := decode(got)
		y, err := decode(want)
		if err != nil {
			s.t.Errorf("%s:%d: %v", file, b.line, err)
			return
		}
		same = wrong == nil && reflect.DeepEqual(x, y)
	}
	if !same {
		s.t.Errorf("%s:%d: the command prints\n%s\nthe document shows\n%s", file, b.line, got, want)
	}
}

// decode keeps numbers as they are written.
func decode(text string) (x any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	err = d.Decode(&x)
	return x, err
}

// commands cuts a block into commands: lines, put together until the shell finds them whole.
func commands(t *testing.T, file string, b block) []string {
	t.Helper()
	var out []string
	text := ""
	for line := range strings.Lines(b.text) {
		text += line
		if strings.TrimSpace(text) == "" || strings.HasPrefix(strings.TrimSpace(text), "#") {
			text = ""
			continue
		}
		if exec.Command("sh", "-n", "-c", text).Run() == nil && !strings.HasSuffix(strings.TrimRight(text, "\n"), `\`) {
			out = append(out, strings.TrimSpace(text))
			text = ""
		}
	}
	if text != "" {
		t.Errorf("%s:%d: this is no shell command: %s", file, b.line, text)
	}
	return out
}

var inlineMake = regexp.MustCompile("`make ([a-z][a-z-]*)`")

func TestMakeTargets(t *testing.T) {
	for _, file := range documents(t) {
		for _, m := range inlineMake.FindAllStringSubmatch(read(t, file), -1) {
			checkTarget(t, file, m[1])
		}
	}
}

func checkTarget(t *testing.T, file, target string) {
	t.Helper()
	if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + `:`).MatchString(read(t, "Makefile")) {
		t.Errorf("%s: the Makefile has no target %q", file, target)
	}
}

// documents lists the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() && rel != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"dist", "target", "node_modules"}, d.Name())) {
			return fs.SkipDir
		}
		if !d.IsDir() && filepath.Ext(path) == ".md" {
			out = append(out, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("only %v: is the walk broken?", out)
	}
	return out
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
