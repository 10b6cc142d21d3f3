package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/penstock-ml/penstock/bench/workload"
)

// ingested is how fast a system took events in, with them stored at the end.
type ingested struct {
	events  int64
	of      int64   // events of the topic
	seconds float64 // from the start of the process, its own start-up included
	warm    float64 // events a second after the first warm-up seconds, to stored; 0: not measured
	cpu     float64 // seconds of processor time
	peak    int64   // bytes of resident memory
	checked int     // answers equal to the oracle's
}

func (i *ingested) rate() float64    { return float64(i.events) / i.seconds }
func (i *ingested) perCore() float64 { return float64(i.events) / i.cpu }

// best is the rate that speaks most for a peer: over the whole run, or without its warm-up.
func (i *ingested) best() float64 { return max(i.rate(), i.warm) }

// peer is a program on the virtual machine of Java that answers the same features.
type peer struct {
	name    string // of the step
	title   string
	jar     string // folder under the peers' folder, and its jar
	class   string
	heap    string
	options []string // beside what all get
}

func peers(c *config) []peer {
	threads := strconv.Itoa(c.threads)
	flink := peer{
		name: "flink", title: "Flink, heap state: minute and hour tiles, last", jar: "flink", class: "penstock.bench.FlinkTiles",
		heap: "3g", options: []string{"parallelism=" + threads, "backend=hashmap"},
	}
	rocks := flink
	rocks.name, rocks.title, rocks.heap = "flink-rocksdb", "Flink, RocksDB: minute and hour tiles, last", "1g"
	rocks.options = []string{"parallelism=" + threads, "backend=rocksdb"}
	return []peer{
		{
			name: "kstreams", title: "Kafka Streams: minute and hour tiles, last", jar: "kstreams", class: "penstock.bench.Tiles",
			heap: "2g", options: []string{"threads=" + threads},
		},
		flink, rocks,
	}
}

// warmUp is what a peer may take to be compiled by its virtual machine.
const warmUp = 15 * time.Second

// horizon is the instant at which the peers are asked: the end of the events and a whole hour, so that
// sums of whole tiles are exact windows.
var horizon = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// run runs the program on the topic and compares its answers with the oracle.
func (p *peer) run(ctx context.Context, c *config, k workload.Keys, topic string) (*ingested, error) {
	users := sampleUsers(c.options(k), sampled)
	ids := make([]string, len(users))
	for i, u := range users {
		ids[i] = workload.UserID(u)
	}
	name := filepath.Join(c.work, topic+"-"+p.name)
	if err := os.WriteFile(name+"-users", []byte(strings.Join(ids, "\n")), 0o644); err != nil {
		return nil, fmt.Errorf("write the users to ask: %w", err)
	}
	jar := filepath.Join(c.peers, p.jar, "target")
	var out bytes.Buffer
	args := append([]string{
		"-Xmx" + p.heap, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED",
		"-cp", filepath.Join(jar, p.jar+"-bench.jar") + ":" + filepath.Join(jar, "libs") + "/*", p.class,
		"bootstrap=" + c.broker, "topic=" + topic, "schema=" + c.schema, "state=" + name,
		"seconds=" + strconv.Itoa(c.peerSeconds), fmt.Sprintf("warm=%g", warmUp.Seconds()),
		"users=" + name + "-users", "answers=" + name + "-answers", "at=" + strconv.FormatInt(horizon.UnixMilli(), 10),
	}, p.options...)
	x, err := start(ctx, name+".log", &out, nil, "java", args...)
	if err != nil {
		return nil, err
	}
	if err := x.wait(c.limit); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(name) }()
	r, positions, err := parsePeer(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, tail(x.log))
	}
	r.cpu, r.peak = x.cpu(), x.peak()
	answers, err := os.ReadFile(name + "-answers")
	if err != nil {
		return nil, fmt.Errorf("read the answers: %w", err)
	}
	if r.checked, err = checkPeer(string(answers), users, c.options(k), positions, c.partitions); err != nil {
		return nil, fmt.Errorf("compare the answers of %s: %w", p.name, err)
	}
	return r, nil
}

// parsePeer reads the line that a peer prints: its own seconds, from main to stored, so the start of
// the virtual machine is not counted against it.
func parsePeer(line []byte) (*ingested, map[int]int64, error) {
	var a struct {
		Events      int64         `json:"events"`
		Of          int64         `json:"of"`
		Seconds     float64       `json:"seconds"`
		WarmEvents  int64         `json:"warm_events"`
		WarmSeconds float64       `json:"warm_seconds"`
		Positions   map[int]int64 `json:"positions"`
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return nil, nil, fmt.Errorf("read the peer's answer %q: %w", line, err)
	}
	read := int64(0)
	for _, n := range a.Positions {
		read += n
	}
	if a.Events == 0 || read != a.Events {
		return nil, nil, fmt.Errorf("read the peer's answer: %d events processed, %d read", a.Events, read)
	}
	r := &ingested{events: a.Events, of: a.Of, seconds: a.Seconds}
	// A rate over a moment would say nothing.
	if a.WarmSeconds > 0 && a.Seconds-a.WarmSeconds >= warmUp.Seconds()/3 {
		r.warm = float64(a.Events-a.WarmEvents) / (a.Seconds - a.WarmSeconds)
	}
	return r, a.Positions, nil
}

// sampleUsers draws users as busy as in the topic, each once.
func sampleUsers(o workload.Options, n int) []uint32 {
	draw := workload.Users(o, rand.New(rand.NewPCG(5, 6)))
	var out []uint32
	for range n {
		out = append(out, draw())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// prefix collects the events of some users, among the first so many of each partition.
func prefix(o workload.Options, users []uint32, positions map[int]int64, partitions int) map[uint32][]paid {
	wanted := map[uint32]bool{}
	for _, u := range users {
		wanted[u] = true
	}
	by := kgo.StickyKeyPartitioner(nil).ForTopic("")
	left := make([]int64, partitions)
	for p := range left {
		left[p] = positions[p]
	}
	out := map[uint32][]paid{}
	var key []byte
	for e := range workload.Events(o) {
		key = e.AppendKey(key[:0])
		p := by.Partition(&kgo.Record{Key: key}, partitions)
		if left[p]--; left[p] >= 0 && wanted[e.User] {
			out[e.User] = append(out[e.User], paid{e.Time, e.Amount, e.Country})
		}
	}
	return out
}

// checkPeer compares what a peer answered with the oracle: counts, extremes and the last country must
// be equal, sums as good as adding in another order is.
func checkPeer(answers string, users []uint32, o workload.Options, positions map[int]int64, partitions int) (int, error) {
	events := prefix(o, users, positions, partitions)
	ids := map[string]uint32{}
	for _, u := range users {
		ids[workload.UserID(u)] = u
	}
	seen := map[uint32]bool{}
	cells := 0
	for line := range strings.Lines(answers) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ",")
		u, ok := ids[id]
		if !ok || seen[u] {
			return 0, fmt.Errorf("user %q was not asked for, or twice", id)
		}
		seen[u] = true
		n, err := checkAnswer(rest, naive(events[u], horizon))
		if err != nil {
			return 0, fmt.Errorf("user %s: %w", id, err)
		}
		cells += n
	}
	if len(seen) != len(events) {
		return 0, fmt.Errorf("%d users answered, %d of those asked have events", len(seen), len(events))
	}
	return cells, nil
}

// checkAnswer compares one line behind its user.
func checkAnswer(line string, want map[string]any) (int, error) {
	got := strings.Split(line, ",")
	if len(got) != 10 {
		return 0, fmt.Errorf("answer %q has %d columns, want 10", line, len(got))
	}
	names := []string{"transactions", "last_country"}
	for _, w := range []string{"1h", "24h"} {
		for _, f := range []string{"count", "sum", "min", "max"} {
			names = append(names, "amount_"+f+"_"+w)
		}
	}
	var errs []error
	for i, name := range names {
		if !sameCell(got[i], want[name], strings.Contains(name, "_sum_")) {
			errs = append(errs, fmt.Errorf("%s is %s, the oracle says %v", name, got[i], want[name]))
		}
	}
	return len(names), errors.Join(errs...)
}

// sameCell compares a cell as Java prints it. Over nothing the tiles of a peer sum to 0 and have the
// infinities as extremes, where the oracle has null.
func sameCell(got string, want any, rounded bool) bool {
	switch w := want.(type) {
	case string:
		return got == w
	case int64:
		return got == strconv.FormatInt(w, 10)
	case float64:
		x, err := strconv.ParseFloat(got, 64)
		return err == nil && (x == w || rounded && math.Abs(x-w) <= 1e-9*math.Abs(w))
	}
	return want == nil && (got == "0.0" || got == "Infinity" || got == "-Infinity")
}
