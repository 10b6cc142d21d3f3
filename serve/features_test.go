package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

func TestFeatures(t *testing.T) {
	f := newFixture(t, nil)
	f.some()
	for _, c := range []struct{ name, body, want string }{
		{
			"view", `{"view": "spend", "entities": [{"user_id": "u1"}], "as_of": "2013-01-05T10:00:00Z"}`,
			`{"features":["sum_1h","n_1h","points_all","last_country","last_ts","last_raw"],"rows":[{"values":[12.6,2,9007199254740994,"a\"\\\n` + "\u2028é" + `","2013-01-05T09:58:11.500000Z","AP8="],"status":["present","present","present","present","present","present"],"event_time":["2013-01-05T09:58:11.500000Z","2013-01-05T09:58:11.500000Z","2013-01-05T09:58:11.500000Z","2013-01-05T09:58:11.500000Z","2013-01-05T09:58:11.500000Z","2013-01-05T09:30:00.000000Z"]}],"as_of":"2013-01-05T10:00:00.000000Z"}`,
		},
		{
			"half open to the microsecond", `{"view": "spend", "features": ["n_1h"], "entities": [{"user_id": "u1"}], "as_of": "2013-01-05T10:30:00.000001Z"}`,
			`{"features":["n_1h"],"rows":[{"values":[1],"status":["present"],"event_time":["2013-01-05T09:58:11.500000Z"]}],"as_of":"2013-01-05T10:30:00.000001Z"}`,
		},
		{
			"order and duplicates, unseen, null", `{"view": "spend", "features": ["n_1h", "sum_1h"], "entities": [{"user_id": "u2"}, {"user_id": "nobody"}, {"user_id": "u2"}], "as_of": "2013-01-05T10:00:00Z"}`,
			`{"features":["n_1h","sum_1h"],"rows":[{"values":[1,null],"status":["present","null"],"event_time":["2013-01-05T09:59:00.000000Z",null]},{"values":[0,null],"status":["not_found","not_found"],"event_time":[null,null]},{"values":[1,null],"status":["present","null"],"event_time":["2013-01-05T09:59:00.000000Z",null]}],"as_of":"2013-01-05T10:00:00.000000Z"}`,
		},
		{
			"set with request", `{"as_of": "2013-01-05T11:00:00+01:00", "request": [{"amount": 25.2}, {"amount": "NaN"}, {"amount": 3}], "entities": [{"user_id": "u1"}, {"user_id": "u1"}, {"user_id": "u2"}], "set": "fraud"}`,
			`{"features":["sum_1h","ratio"],"rows":[{"values":[12.6,2],"status":["present","present"],"event_time":["2013-01-05T09:58:11.500000Z","2013-01-05T09:58:11.500000Z"]},{"values":[12.6,"NaN"],"status":["present","present"],"event_time":["2013-01-05T09:58:11.500000Z","2013-01-05T09:58:11.500000Z"]},{"values":[null,-1],"status":["null","null"],"event_time":[null,null]}],"as_of":"2013-01-05T10:00:00.000000Z"}`,
		},
		{
			"dotted", `{"features": ["spend.n_1h"], "entities": [{"user_id": "u1"}], "as_of": "2013-01-05T10:00:00Z"}`,
			`{"features":["n_1h"],"rows":[{"values":[2],"status":["present"],"event_time":["2013-01-05T09:58:11.500000Z"]}],"as_of":"2013-01-05T10:00:00.000000Z"}`,
		},
		{
			"composite key, any order", `{"view": "by_shop", "entities": [{"shop": 8, "user_id": "u1"}], "as_of": "2013-01-05T10:00:00Z"}`,
			`{"features":["n"],"rows":[{"values":[1],"status":["present"],"event_time":["2013-01-05T09:58:11.500000Z"]}],"as_of":"2013-01-05T10:00:00.000000Z"}`,
		},
		{
			"latest", `{"view": "by_shop", "entities": [{"shop": 7, "user_id": "u2"}], "as_of": "latest"}`,
			`{"features":["n"],"rows":[{"values":[1],"status":["present"],"event_time":["2013-01-05T09:59:00.000000Z"]}],"as_of":"2013-01-05T09:59:00.000001Z"}`,
		},
		{
			"now, nulls as not given", `{"view": "spend", "features": ["n_1h"], "set": null, "request": null, "as_of": null, "entities": [{"user_id": "u1"}]}`,
			`{"features":["n_1h"],"rows":[{"values":[0],"status":["present"],"event_time":[null]}],"as_of":"2013-01-05T12:00:00.000000Z"}`,
		},
		{
			"escaped key", `{"view": "spend", "features": ["n_1h"], "entities": [{"user\u005fid": "\u0075\u0031"}], "as_of": "2013-01-05T10:00:00Z"}`,
			`{"features":["n_1h"],"rows":[{"values":[2],"status":["present"],"event_time":["2013-01-05T09:58:11.500000Z"]}],"as_of":"2013-01-05T10:00:00.000000Z"}`,
		},
		{
			"no entities", `{"view": "spend", "features": ["n_1h"], "entities": [], "as_of": "now"}`,
			`{"features":["n_1h"],"rows":[],"as_of":"2013-01-05T12:00:00.000000Z"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t = t
			code, got := f.ask(c.body)
			if code != http.StatusOK || strings.TrimSpace(got) != c.want {
				t.Errorf("%d\n got %s\nwant %s", code, got, c.want)
			}
		})
	}
}

// TestErrors compares every refusal with testdata/errors.txt; UPDATE=1 rewrites it.
func TestErrors(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxBody = 4096 })
	f.some()
	path := filepath.Join("testdata", "errors.txt")
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(string(golden)), "\n\n") {
		request, _, _ := strings.Cut(block, "\n----\n")
		head, body, _ := strings.Cut(request, "\n")
		method, target, _ := strings.Cut(head, " ")
		if body == "LARGE" {
			body = strings.Repeat(" ", 5000)
		}
		res, text := f.do(method, target, body)
		var e struct {
			Error struct{ Code, Message, Hint, At string }
		}
		if err := json.Unmarshal([]byte(text), &e); err != nil || e.Error.Code == "" || e.Error.Message == "" {
			t.Errorf("%s: answered %d %s", request, res.StatusCode, text)
		}
		fmt.Fprintf(&out, "%s\n----\n%d %s\n", request, res.StatusCode, e.Error.Code)
		for _, line := range [][2]string{{"at", e.Error.At}, {"message", e.Error.Message}, {"hint", e.Error.Hint}, {"allow", res.Header.Get("Allow")}} {
			if line[1] != "" {
				fmt.Fprintf(&out, "%s: %s\n", line[0], line[1])
			}
		}
		out.WriteString("\n")
	}
	got := strings.TrimSpace(out.String()) + "\n"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if got != string(golden) {
		t.Errorf("answers differ from %s; UPDATE=1 rewrites it\n%s", path, got)
	}
}

func TestManyEntities(t *testing.T) {
	f := newFixture(t, nil)
	f.some()
	var b strings.Builder
	b.WriteString(`{"view": "spend", "as_of": "2013-01-05T10:00:00Z", "entities": [`)
	const n = 5000
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"user_id": "u%d"}`, i)
	}
	b.WriteString("]}")
	code, text := f.ask(b.String())
	var got struct {
		Rows []struct{ Values []any }
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 200 || len(got.Rows) != n {
		t.Fatalf("%d, %d rows, %v", code, len(got.Rows), err)
	}
	for i, r := range got.Rows {
		if want := map[int]float64{1: 2, 2: 1}[i]; r.Values[1] != want {
			t.Fatalf("u%d: n_1h %v, want %v", i, r.Values[1], want)
		}
	}
	many := strings.Replace(b.String(), "]}", strings.Repeat(`,{"user_id":"x"}`, DefaultMaxEntities)+"]}", 1)
	if code, text := f.ask(many); code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %.200s", code, text)
	}
}

// TestKeepsNothingOfARequest asks one thing, then others through the same pooled buffers: a cached
// name must not have become part of a later body.
func TestKeepsNothingOfARequest(t *testing.T) {
	f := newFixture(t, nil)
	f.some()
	first := `{"view": "spend", "features": ["n_1h"], "entities": [{"user_id": "u1"}], "as_of": "2013-01-05T10:00:00Z"}`
	_, want := f.ask(first)
	for range 20 {
		f.ask(`{"zzzz": "zzzzz", "zzzzzzzz": ["zzzz"], "zzzzzzzz": [{"zzzzzzz": "zz"}], "zzzzz": "zzzzzzzzzzzzzzzzzzzz"}`)
		if _, got := f.ask(first); got != want {
			t.Fatalf("got %s\nwant %s", got, want)
		}
	}
}

func TestNotReady(t *testing.T) {
	lag, known := int64(10), true
	f := newFixture(t, func(c *Config) {
		c.ReadyLag = 9
		c.Status = func() []SourceStatus {
			if !known {
				return []SourceStatus{{Source: "tx", Waiting: "the broker is away"}}
			}
			return []SourceStatus{{Source: "tx", Waiting: "the broker is away", Partitions: []PartitionStatus{{Partition: 0, Lag: lag}}}}
		}
	})
	f.some()
	res, body := f.do("GET", "/readyz", "")
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "10 records are unread") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if code, body := f.ask(`{"view": "spend", "entities": []}`); code != 200 {
		t.Errorf("look-ups do not depend on the lag: %d %s", code, body)
	}
	lag = -1
	if res, body := f.do("GET", "/readyz", ""); res.StatusCode != 503 || !strings.Contains(body, "not known yet") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	known = false
	if res, body := f.do("GET", "/readyz", ""); res.StatusCode != 503 || !strings.Contains(body, "not known yet") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	known, lag = true, 9
	if res, body := f.do("GET", "/readyz", ""); res.StatusCode != 200 || body != "ready\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := f.do("GET", "/healthz", ""); res.StatusCode != 200 || body != "ok\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestInstantOfNothing(t *testing.T) {
	if got := string(appendInstant(nil, event.MinTime)); got != "null" {
		t.Error(got)
	}
}
