package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kfake"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"penstock": main})
}

// TestScripts runs testdata/script/*.txtar: what users type, what they read, and the exit codes.
//
// Beside testscript's own commands:
//
//	code N command…          the command must end with exit code N
//	port VAR                 sets VAR to a port that is free
//	occupied VAR             sets VAR to a port that something listens on
//	broker VAR PORT TOPIC…   starts the embedded broker on a port, or 0, with topics of two partitions
//	serverurl DIR VAR        waits until a server has DIR; sets VAR to its address
//	serving DIR VAR          waits until a server has DIR and all that it can read is read; sets VAR to its address
//	term DIR                 sends SIGTERM to the server that has DIR
//	get URL STATUS REGEXP    asks until the answer has that status and matches
//	through URL VAR HOW      sets VAR to the address of a server that asks the one at URL, and forgets, or is older
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("PENSTOCK_UPDATE") == "1",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": scriptCode, "port": scriptPort, "occupied": scriptOccupied,
			"broker": scriptBroker, "serving": scriptServing, "serverurl": scriptServerURL, "term": scriptTerm, "get": scriptGet,
			"through": scriptThrough,
		},
	})
}

func scriptCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func listen(ts *testscript.TestScript) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	return l
}

func portOf(l net.Listener) string { return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) }

func scriptPort(ts *testscript.TestScript, _ bool, args []string) {
	l := listen(ts)
	ts.Setenv(args[0], portOf(l))
	ts.Check(l.Close())
}

func scriptOccupied(ts *testscript.TestScript, _ bool, args []string) {
	l := listen(ts)
	ts.Setenv(args[0], portOf(l))
	ts.Defer(func() { _ = l.Close() })
}

func scriptBroker(ts *testscript.TestScript, _ bool, args []string) {
	port, err := strconv.Atoi(args[1])
	ts.Check(err)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.SeedTopics(2, args[2:]...))
	ts.Check(err)
	ts.Defer(c.Close)
	ts.Setenv(args[0], c.ListenAddrs()[0])
}

// until asks until ask answers nil, for half a minute.
func until(ts *testscript.TestScript, ask func() error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-end:
			ts.Fatalf("after 30 s: %v", err)
		case <-tick.C:
		}
	}
}

func fetch(url string) (int, string, error) {
	c := http.Client{Timeout: 5 * time.Second}
	res, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

var lag = regexp.MustCompile(`(?m)^penstock_lag_records\{.*\} (\S+)$`)

func scriptServerURL(ts *testscript.TestScript, _ bool, args []string) {
	path := serverPath(ts.MkAbs(args[0]))
	until(ts, func() error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var f serverFile
		err = json.Unmarshal(b, &f)
		ts.Setenv(args[1], f.URL)
		return err
	})
}

func scriptServing(ts *testscript.TestScript, neg bool, args []string) {
	scriptServerURL(ts, neg, args)
	url := ts.Getenv(args[1])
	until(ts, func() error {
		_, body, err := fetch(url + "/metrics")
		if err != nil {
			return err
		}
		all := lag.FindAllStringSubmatch(body, -1)
		for _, m := range all {
			if m[1] != "0" {
				return fmt.Errorf("lag %s", m[1])
			}
		}
		if len(all) == 0 {
			return errors.New("no partition is read")
		}
		code, body, err := fetch(url + "/readyz")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("readyz: %d %s", code, body)
		}
		return err
	})
}

func scriptTerm(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(serverPath(ts.MkAbs(args[0])))
	ts.Check(err)
	var f serverFile
	ts.Check(json.Unmarshal(b, &f))
	ts.Check(syscall.Kill(f.PID, syscall.SIGTERM))
}

func scriptGet(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	re, err := regexp.Compile(args[2])
	ts.Check(err)
	until(ts, func() error {
		code, body, err := fetch(args[0])
		if err == nil && (code != want || !re.MatchString(body)) {
			err = fmt.Errorf("%d %.500s", code, body)
		}
		return err
	})
}
