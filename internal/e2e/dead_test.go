package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
)

// wantDead lists the dead letters of a source, by "partition@offset view reason", with their records.
func (w *world) wantDead(source string, log []placed) map[string]placed {
	at := map[string]placed{}
	for _, r := range log {
		at[fmt.Sprintf("%d@%d", r.partition, r.offset)] = r
	}
	out := map[string]placed{}
	for name, tr := range w.views {
		if tr.View.Source.Name != source {
			continue
		}
		for _, v := range tr.Verdicts {
			if v.Outcome != oracle.Dead && v.Outcome != oracle.Late {
				continue
			}
			pos := fmt.Sprintf("%d@%d", v.Partition, v.Offset)
			view := name
			if v.Outcome == oracle.Dead && v.Reason != "key" {
				view = "" // dead in every view: said once
			}
			out[fmt.Sprintf("%s %s %s", pos, view, v.Reason)] = at[pos]
		}
	}
	return out
}

// deadLetters compares what is kept of dead and late records with the oracle: each once, with its bytes.
func (w *world) deadLetters(t *testing.T, s *scenario, dir string) {
	t.Helper()
	code, out, stderr := penstock(t, "inspect", "--state", dir, "--dead")
	if code != 0 {
		t.Fatalf("inspect: exit code %d\n%s", code, stderr)
	}
	got := map[string][]*feature.DeadLetter{}
	for line := range strings.Lines(out) {
		var d feature.DeadLetter
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		id := fmt.Sprintf("%s %d@%d %s %s", d.Source, d.Partition, d.Offset, d.View, d.Reason)
		got[id] = append(got[id], &d)
	}
	n := 0
	for name, l := range s.logs {
		if l.deadTopic != "" {
			continue
		}
		for id, r := range w.wantDead(name, l.read(t)) {
			n++
			d := got[name+" "+id]
			if len(d) != 1 {
				t.Errorf("dead letter %s %s is kept %d times", name, id, len(d))
				continue
			}
			if !bytes.Equal(d[0].Value, r.value) || !bytes.Equal(d[0].Key, r.key) || d[0].Detail == "" {
				t.Errorf("dead letter %s %s: key %q, value %q, detail %q; want %q, %q", name, id, d[0].Key, d[0].Value, d[0].Detail, r.key, r.value)
			}
		}
	}
	if n != len(got) || n == 0 {
		t.Errorf("%d dead letters are kept, want %d", len(got), n)
	}
}

// deadTopic checks that every dead and late record of the source a stands in its topic, at least once,
// with its bytes, and nothing else.
func (w *world) deadTopic(t *testing.T, l *topicLog) {
	t.Helper()
	const topic = "alpha.dead"
	want := w.wantDead("a", l.read(t))
	end := endOffset(t, l.brokers, topic)
	seen := map[string]bool{}
	c := client(t, l.brokers, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for next := int64(0); next < end; {
		fetches := c.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("read %s: at %d of %d: %v", topic, next, end, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			h := map[string]string{}
			for _, x := range r.Headers {
				h[x.Key] = string(x.Value)
			}
			id := fmt.Sprintf("%s@%s %s %s", h["penstock-partition"], h["penstock-offset"], h["penstock-view"], h["penstock-reason"])
			x, ok := want[id]
			if !ok || h["penstock-source"] != "a" || !bytes.Equal(x.value, r.Value) || !bytes.Equal(x.key, r.Key) || (x.value == nil) != (r.Value == nil) {
				t.Errorf("the dead letter %s of %s: known %v, key %q, value %q", id, h["penstock-source"], ok, r.Key, r.Value)
			}
			seen[id] = true
		})
	}
	for id := range want {
		if !seen[id] {
			t.Errorf("no dead letter in the topic for %s", id)
		}
	}
	t.Logf("%d dead letters in the topic, %d different ones", end, len(want))
}

// endOffset is the end of a topic of one partition.
func endOffset(t *testing.T, brokers []string, topic string) int64 {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp = -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	shards := client(t, brokers).RequestSharded(t.Context(), req)
	if len(shards) != 1 || shards[0].Err != nil {
		t.Fatalf("end of %s: %v", topic, shards)
	}
	p := shards[0].Resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		t.Fatalf("end of %s: %v", topic, err)
	}
	return p.Offset
}
