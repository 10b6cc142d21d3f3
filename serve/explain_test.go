package serve

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

func (f *fixture) explainOf(body string) Explanation {
	f.t.Helper()
	res, text := f.do(http.MethodPost, "/v1/explain", body)
	if res.StatusCode != http.StatusOK {
		f.t.Fatalf("%s: %d %s", body, res.StatusCode, text)
	}
	var x Explanation
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		f.t.Fatal(err)
	}
	return x
}

func TestExplain(t *testing.T) {
	f := newFixture(t, nil)
	f.some()
	f.late(tx{user: "u1", ts: "2013-01-05T09:40:00Z", shop: 7, amount: ptr(1.0)}, "2013-01-05T10:30:00Z")
	x := f.explainOf(`{"view": "spend", "feature": "sum_1h", "entity": {"user_id": "u1"}, "as_of": "2013-01-05T10:00:00Z"}`)
	if string(x.Value) != "13.6" || string(x.Served.Value) != "12.6" || !x.Differs || x.Status != "present" {
		t.Errorf("the answer is %s, as served %s", x.Value, x.Served.Value)
	}
	in := x.Inputs[0]
	if *in.Start != "2013-01-05T09:00:00.000000Z" || *in.End != "2013-01-05T10:00:00.000000Z" || in.RowsInWindow != 3 || in.RowsCounted != 3 {
		t.Errorf("the window is [%s, %s) with %d rows, %d counted", *in.Start, *in.End, in.RowsInWindow, in.RowsCounted)
	}
	if len(in.Rows) != 3 || in.Rows[1].Offset != 4 || !in.Rows[1].Late || in.Rows[1].Log != "transactions" || in.Rows[0].Late {
		t.Errorf("rows: %+v", in.Rows)
	}
	if len(in.Late) != 1 || in.Late[0].Offset != 4 || in.Late[0].Arrival != "2013-01-05T10:30:00.000000Z" {
		t.Errorf("late rows: %+v", in.Late)
	}
	if len(x.Positions) != 1 || x.Positions[0] != (ExplainedAt{"tx", "transactions", 0, 5}) {
		t.Errorf("positions: %+v", x.Positions)
	}
	served := f.explainOf(`{"view": "spend", "feature": "sum_1h", "entity": {"user_id": "u1"}, "as_of": "2013-01-05T10:00:00Z", "as_served": true}`)
	if string(served.Value) != "12.6" || len(served.Inputs[0].Rows) != 2 || len(served.Inputs[0].Late) != 1 {
		t.Errorf("as served: %s by %d rows, %d late", served.Value, len(served.Inputs[0].Rows), len(served.Inputs[0].Late))
	}
	set := f.explainOf(`{"set": "fraud", "feature": "ratio", "entity": {"user_id": "u1"}, "request": {"amount": 27.2}, "as_of": "2013-01-05T10:00:00Z"}`)
	if string(set.Value) != "2" || !set.Expression || len(set.Inputs) != 1 || set.Inputs[0].Feature != "sum_1h" || string(set.Request["amount"]) != "27.2" {
		t.Errorf("of a set: %+v", set)
	}
}

// late adds an event that arrived long after it happened.
func (f *fixture) late(e tx, arrival string) {
	f.t.Helper()
	slots := make([]event.Value, len(f.plan.Sources[0].Columns))
	for i, c := range f.plan.Sources[0].Columns {
		switch c.Name {
		case "user_id":
			slots[i] = event.StringOf(e.user)
		case "shop", "points":
			slots[i] = event.LongOf(e.shop)
		case "ts":
			slots[i] = event.TimestampOf(at(e.ts))
		case "amount":
			slots[i] = event.DoubleOf(*e.amount)
		}
	}
	f.part.Add(&feature.Record{Offset: f.next, Timestamp: at(arrival), Arrival: at(arrival), Slots: slots})
	f.next++
	if err := f.part.End(f.t.Context(), f.next, true); err != nil {
		f.t.Fatal(err)
	}
	if err := f.store.Flush(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// TestExplainByAddress: GET answers what POST does.
func TestExplainByAddress(t *testing.T) {
	f := newFixture(t, nil)
	f.some()
	for body, query := range map[string]url.Values{
		`{"feature": "by_shop.n", "entity": {"user_id": "u1", "shop": 7}, "as_of": "latest", "limit": 1}`: {
			"feature": {"by_shop.n"}, "user_id": {"u1"}, "shop": {"7"}, "as_of": {"latest"}, "limit": {"1"},
		},
		`{"set": "fraud", "feature": "ratio", "entity": {"user_id": "u1"}, "request": {"amount": 2}, "as_served": true}`: {
			"set": {"fraud"}, "feature": {"ratio"}, "user_id": {"u1"}, "amount": {"2"}, "as_served": {"true"},
		},
	} {
		_, posted := f.do(http.MethodPost, "/v1/explain", body)
		res, got := f.do(http.MethodGet, "/v1/explain?"+query.Encode(), "")
		if res.StatusCode != http.StatusOK || got != posted {
			t.Errorf("%s: %d %s, posted %s", query.Encode(), res.StatusCode, got, posted)
		}
	}
}

func TestExplainMistakes(t *testing.T) {
	f := newFixture(t, nil)
	f.some()
	for _, c := range []struct {
		method, ask string
		status      int
		want        []string
	}{
		{"POST", `{"view": "spend", "entity": {"user_id": "u1"}}`, 400, []string{"feature is missing"}},
		{"POST", `{"view": "spend", "feature": "sum_2h", "entity": {"user_id": "u1"}}`, 404, []string{"unknown_feature", "sum_1h", `"at":"feature"`}},
		{"POST", `{"view": "spend", "feature": "sum_1h"}`, 400, []string{"entity is missing"}},
		{"POST", `{"view": "spend", "feature": "sum_1h", "entity": {"user": "u1"}}`, 400, []string{"entity has", "there is user_id"}},
		{"POST", `{"view": "spend", "feature": "sum_1h", "entity": {"user_id": "u1"}, "limit": 0}`, 400, []string{"limit must be"}},
		{"POST", `{"view": "spend", "feature": "sum_1h", "entity": {"user_id": "u1"}, "as_served": 1}`, 400, []string{"true or false"}},
		{"POST", `{"view": "spend", "feature": "sum_1h", "entity": {"user_id": "u1"}, "limits": 1}`, 400, []string{"did you mean limit"}},
		{"POST", `{"set": "fraud", "feature": "ratio", "entity": {"user_id": "u1"}}`, 400, []string{"request"}},
		{"POST", `[]`, 400, []string{"must be a JSON object"}},
		{"GET", "feature=spend.sum_1h&user_id=u1&usr=2", 400, []string{"usr"}},
		{"GET", "feature=spend.sum_1h", 400, []string{"lacks the key column user_id"}},
		{"GET", "feature=by_shop.n&user_id=u1&shop=x", 400, []string{"entity.shop"}},
		{"DELETE", "", 405, []string{"GET and POST"}},
	} {
		path, body := "/v1/explain", c.ask
		if c.method == "GET" {
			path, body = path+"?"+c.ask, ""
		}
		res, text := f.do(c.method, path, body)
		if res.StatusCode != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.ask, res.StatusCode, text)
		}
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s %s: %s: %q is not in it", c.method, c.ask, text, want)
			}
		}
	}
}
