package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

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
		if w.plan.View("v0").Source.Name == name && w.plan.View("v0").Source.Dead.Topic != "" {
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
