package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

func (f *fixture) askRows(q RowsQuestion) (*RowsAnswer, string) {
	f.t.Helper()
	body, err := json.Marshal(q)
	if err != nil {
		f.t.Fatal(err)
	}
	res, text := f.do(http.MethodPost, RowsPath, string(body))
	if res.StatusCode != http.StatusOK {
		return nil, text
	}
	var a RowsAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		f.t.Fatal(err)
	}
	return &a, ""
}

// TestRows: the rows that are told are those of a cut, bit for bit.
func TestRows(t *testing.T) {
	f := newFixture(t, nil)
	f.some()
	v := f.plan.View("spend")
	u1, nobody := []event.Value{event.StringOf("u1")}, []event.Value{event.StringOf("nobody")}
	a, text := f.askRows(RowsQuestion{Views: []RowsOf{{View: "spend", Version: v.Version, Sample: 2, Keys: [][]byte{AppendKeys(nil, u1), AppendKeys(nil, nobody)}}}})
	if a == nil {
		t.Fatal(text)
	}
	cut, err := f.store.Cut(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	want, err := cut.RawRows(v, u1)
	if err != nil {
		t.Fatal(err)
	}
	x := a.Views[0]
	if len(x.Entities) != 2 || len(want) != 2 || len(x.Entities[0].Rows) != 2 || !x.Entities[0].All || len(x.Entities[1].Rows) != 0 || !x.Entities[1].All {
		t.Fatalf("%+v", x)
	}
	for i := range want {
		if got, ok := x.Entities[0].Rows[i].Row(len(v.Inputs)); !ok || !reflect.DeepEqual(got, want[i]) {
			t.Errorf("row %d: %+v, want %+v", i, got, want[i])
		}
	}
	if event.Time(x.Horizon) != cut.Horizon(v) || fmt.Sprint(a.Offsets) != "[{tx 0 4}]" || len(x.Sample) != 2 {
		t.Errorf("horizon %v, offsets %v, %d chosen", event.Time(x.Horizon), a.Offsets, len(x.Sample))
	}
	sample, err := cut.SampleKeys(v, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range x.Sample {
		if keys, ok := ParseKeys(b, v.Entity.Keys); !ok || keys[0] != sample[i][0] {
			t.Errorf("chose %v, want %v", keys, sample[i])
		}
	}
}

func TestRowsMistakes(t *testing.T) {
	f := newFixture(t, nil)
	f.some()
	version := f.plan.View("spend").Version
	for _, c := range []struct {
		q    RowsQuestion
		want string
	}{
		{RowsQuestion{Views: []RowsOf{{View: "none", Version: version}}}, "is defined otherwise"},
		{RowsQuestion{Views: []RowsOf{{View: "spend", Version: "older"}}}, "is defined otherwise"},
		{RowsQuestion{Views: []RowsOf{{View: "spend", Version: version, Keys: [][]byte{{1}}}}}, "they are no keys"},
		{RowsQuestion{Views: []RowsOf{{View: "spend", Version: version, Keys: [][]byte{AppendKeys(nil, []event.Value{event.LongOf(1)})}}}}, "they are no keys"},
		{RowsQuestion{Views: []RowsOf{{View: "spend", Version: version, Keys: [][]byte{AppendKeys(nil, []event.Value{event.StringOf("a"), event.StringOf("b")})}}}}, "they are no keys"},
	} {
		if a, text := f.askRows(c.q); a != nil || !strings.Contains(text, c.want) {
			t.Errorf("%+v: %s, want %s", c.q, text, c.want)
		}
	}
	if res, text := f.do(http.MethodPost, RowsPath, `{"view": 1}`); res.StatusCode != http.StatusBadRequest || !strings.Contains(text, "one version") {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if res, _ := f.do(http.MethodGet, RowsPath, ""); res.StatusCode != http.StatusMethodNotAllowed {
		t.Error(res.StatusCode)
	}
	f.server.asking.Lock()
	if res, _ := f.do(http.MethodPost, RowsPath, `{}`); res.StatusCode != http.StatusTooManyRequests {
		t.Error(res.StatusCode)
	}
	f.server.asking.Unlock()
}

// TestSomeRows: of an entity with more rows than are left, none are told.
func TestSomeRows(t *testing.T) {
	f := newFixture(t, nil)
	f.some()
	v := f.plan.View("spend")
	cut, err := f.store.Cut(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	of := &RowsOf{Keys: [][]byte{AppendKeys(nil, []event.Value{event.StringOf("u1")}), AppendKeys(nil, []event.Value{event.StringOf("u2")})}}
	left := 1
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, RowsPath, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	x, err := viewRows(r, cut, v, of, &left)
	if err != nil {
		t.Fatal(err)
	}
	if x.Entities[0].All || len(x.Entities[0].Rows) > 0 || !x.Entities[1].All || len(x.Entities[1].Rows) != 1 || left != 0 {
		t.Errorf("%+v, %d left", x, left)
	}
}

// TestLookUpsThatAreNotLogged: by the header.
func TestLookUpsThatAreNotLogged(t *testing.T) {
	dir := t.TempDir()
	l := openTestLog(t, LogConfig{Dir: dir, Sample: 1})
	f := newFixture(t, func(c *Config) { c.ServingLog = l })
	f.some()
	body := `{"view": "spend", "entities": [{"user_id": "u1"}]}`
	for _, header := range []string{"off", "on", ""} {
		f.header = http.Header{LogHeader: {header}}
		if code, text := f.ask(body); code != http.StatusOK {
			t.Fatal(text)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, dir); len(got) != 2 {
		t.Errorf("%d lines are logged of two that are not to be left out", len(got))
	}
}
