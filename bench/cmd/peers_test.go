package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/penstock-ml/penstock/bench/workload"
)

// answerOf writes the oracle's answer as a peer would.
func answerOf(user uint32, f map[string]any) string {
	cells := []string{workload.UserID(user), fmt.Sprint(f["transactions"]), f["last_country"].(string)}
	for _, w := range []string{"1h", "24h"} {
		cells = append(cells, fmt.Sprint(f["amount_count_"+w]))
		for i, name := range []string{"sum", "min", "max"} {
			if v := f["amount_"+name+"_"+w]; v != nil {
				cells = append(cells, fmt.Sprint(v))
			} else {
				cells = append(cells, [...]string{"0.0", "Infinity", "-Infinity"}[i])
			}
		}
	}
	return strings.Join(cells, ",") + "\n"
}

// TestCheckPeer gives right answers over a part of the log, then wrong ones.
func TestCheckPeer(t *testing.T) {
	o := workload.Options{Events: 4000, Users: 300}
	positions := map[int]int64{0: 700, 1: 0, 2: 1 << 40, 3: 5}
	users := sampleUsers(o, 100)
	events := map[uint32][]paid{}
	at := [4]int64{}
	by := kgo.StickyKeyPartitioner(nil).ForTopic("any")
	for e := range workload.Events(o) {
		p := by.Partition(&kgo.Record{Key: e.AppendKey(nil)}, 4)
		if at[p] < positions[p] {
			events[e.User] = append(events[e.User], paid{e.Time, e.Amount, e.Country})
		}
		at[p]++
	}
	var right strings.Builder
	answered := 0
	for _, u := range users {
		if len(events[u]) > 0 {
			right.WriteString(answerOf(u, naive(events[u], horizon)))
			answered++
		}
	}
	n, err := checkPeer(right.String(), users, o, positions, 4)
	if err != nil || n != answered*10 || answered < 20 {
		t.Errorf("right answers of %d users: %d cells, %v", answered, n, err)
	}
	first, rest, _ := strings.Cut(right.String(), "\n")
	cells := strings.Split(first, ",")
	for i := 1; i < len(cells); i++ {
		wrong := strings.Split(first, ",")
		wrong[i] += "7"
		if _, err := checkPeer(strings.Join(wrong, ",")+"\n"+rest, users, o, positions, 4); err == nil {
			t.Errorf("column %d of %q: a wrong cell was not found", i, first)
		}
	}
	if _, err := checkPeer(rest, users, o, positions, 4); err == nil {
		t.Error("a missing user was not found")
	}
	if _, err := checkPeer(right.String(), users, o, map[int]int64{0: 700, 2: 1 << 40, 3: 500}, 4); err == nil {
		t.Error("answers over other positions were taken")
	}
}

func TestParsePeer(t *testing.T) {
	r, positions, err := parsePeer([]byte(`{"events": 300, "of": 500, "seconds": 35.5, "open_seconds": 35, "warm_events": 100, "warm_seconds": 15.5, "positions": {"0": 100, "3": 200}}`))
	if err != nil || r.rate() != 300/35.5 || r.warm != 10 || r.best() != 10 || positions[3] != 200 {
		t.Errorf("parsed %+v, %v, %v", r, positions, err)
	}
	for _, line := range []string{"", "{}", `{"events": 300, "positions": {"0": 299}}`} {
		if _, _, err := parsePeer([]byte(line)); err == nil {
			t.Errorf("parsed %q", line)
		}
	}
}
