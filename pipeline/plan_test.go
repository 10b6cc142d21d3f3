package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/transforms/window"
)

func replaced(t *testing.T, old, with string) string {
	t.Helper()
	if !strings.Contains(surface, old) {
		t.Fatalf("the example has no %q", old)
	}
	return strings.Replace(surface, old, with, 1)
}

// What decides answers or what is stored changes a view's version; what does not, does not.
func TestVersion(t *testing.T) {
	version := func(src string) string { return mustCompile(t, src).Views[0].Version }
	base := version(surface)
	for _, c := range []struct {
		old, with string
		same      bool
	}{
		{"1GiB", "2GiB", true},
		{"localhost:9092", "elsewhere:9092", true},
		{"start: earliest", "start: latest", true},
		{"{sum: amount, window: 1h}", "{sum: amount, window: 1h, ttl: 1d, default: 0}", true},
		{"spend_1h:     {", "spent_1h:     {", true},
		{"user_spend.spend_1h", "user_spend.tx_1h", true},
		{"amount > 0", "amount   >   0", true},
		{"amount > 0", "amount > 1", false},
		{"90d", "91d", false},
		{`'country != "US"'`, `'country != "CA"'`, false},
		{"{sum: amount, window: 1h}", "{sum: amount, window: 2h}", false},
		{"{sum: amount, window: 1h}", "{sum: amount * 2, window: 1h}", false},
		{"last: 10", "last: 11", false},
		{"topic: transactions", "topic: payments", false},
		{"time: ts", "time: {field: ms, unit: ms}", false},
		{"time: ts", "time: ts\n    order: fee", false},
		{"time: ts", "time: ts\n    ahead: 1m", false},
		{"entity: user", "entity: pair", false},
	} {
		src := replaced(t, c.old, c.with)
		if c.with == "spent_1h:     {" {
			src = strings.Replace(src, "user_spend.spend_1h", "user_spend.spent_1h", 1)
		}
		if c.with == "entity: pair" {
			src = strings.Replace(src, "entities: [user]", "entities: [pair]", 1)
		}
		if got := version(src); (got == base) != c.same {
			t.Errorf("%s -> %s: version same is %v\n%s", c.old, c.with, got == base, mustCompile(t, src).Views[0].Storage)
		}
	}
	// Another view's columns move this view's slots, but not its version.
	more := surface + "" // views come before feature_sets
	more = strings.Replace(more, "feature_sets:", "  other:\n    source: transactions\n    entity: pair\n    features: {m: {max: fee}, c: {last: card_present}}\nfeature_sets:", 1)
	if got := version(more); got != base {
		t.Errorf("another view changed the version:\n%s", mustCompile(t, more).Views[0].Storage)
	}
}

func TestHistoryAndKeep(t *testing.T) {
	src := replaced(t, "    history: 90d\n", "")
	v := mustCompile(t, src).Views[0]
	if v.History != 30*event.Day || v.Keep != 37*event.Day {
		t.Errorf("history %s, keep %s", v.History, v.Keep)
	}
	v = mustCompile(t, strings.Replace(src, "7d", "60d", 1)).Views[0]
	if v.History != 60*event.Day || v.Keep != 120*event.Day {
		t.Errorf("history %s, keep %s", v.History, v.Keep)
	}
}

// Keys may be computed, so a nested or differently named field can be one.
func TestComputedKey(t *testing.T) {
	src := replaced(t, "user: {user_id: string}", "user: {os: string}")
	src = strings.Replace(src, "columns: {abroad", "columns: {os: device.os, abroad", 1)
	plan := mustCompile(t, src)
	v := plan.Views[0]
	if len(v.Keys) != 1 || v.Keys[0] != len(plan.Sources[0].Columns) {
		t.Errorf("keys %v of %d columns", v.Keys, len(plan.Sources[0].Columns))
	}
}

func TestFeatureDetails(t *testing.T) {
	src := replaced(t, "      last_country: {last: country}\n", `      last_country: {last: country, default: none, ttl: 7d}
      last_5: {last: fee, where: fee > 10}
      avg_5: {avg: fee, last: 5, where: abroad}
      min_tag: {count: 'attrs["color"]', where: 'tags[0] == "x"'}
      price: {sum: price, default: 1.5, window: lifetime}
      device: {last: device.os}
    ttl: 30d
`)
	plan := mustCompile(t, src)
	v := plan.Views[0]
	if f := v.Feature("last_country"); f.Default != event.StringOf("none") || f.TTL != 7*event.Day {
		t.Errorf("last_country %+v", f)
	}
	if f := v.Feature("avg_5"); f.TTL != 30*event.Day || f.Window != (window.Spec{Kind: window.LastN, N: 5}) || f.Filter != v.Feature("abroad_24h").Filter ||
		f.Doc != "avg of fee over the last 5 events before, where abroad" {
		t.Errorf("avg_5 %+v", f)
	}
	if f := v.Feature("price"); f.Type.String() != "decimal(scale 2)?" || f.Default.String() != "1.50" {
		t.Errorf("price %+v", f)
	}
	if f := v.Feature("last_5"); f.Doc != "last of fee over all before, where fee > 10" {
		t.Errorf("last_5 %+v", f)
	}
	var names []string
	for _, c := range plan.Sources[0].Columns {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "user_id amount fee country ts price tags attrs device.os" {
		t.Errorf("columns %s", got)
	}
}

func TestViewDefault(t *testing.T) {
	src := replaced(t, "    history: 90d\n", "    default: 0\n")
	src = strings.Replace(src, "{last: country}", "{last: country, default: null}", 1)
	v := mustCompile(t, src).Views[0]
	if v.Feature("spend_1h").Default != event.DoubleOf(0) || v.Feature("tx_1h").Default != event.LongOf(0) || !v.Feature("last_country").Default.IsNull() {
		t.Error("defaults of the view are not those of its features")
	}
}

func TestFilterLimit(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "      f%d: {count: \"*\", where: amount > %d}\n", i, i)
		}
		return replaced(t, "      tx_1h: ", b.String()+"      tx_1h: ")
	}
	mustCompile(t, many(63)) // and abroad
	plan, diags := Compile("p.yaml", []byte(many(64)), online(t))
	if plan != nil || !strings.Contains(diags.String(), "65 different conditions") {
		t.Errorf("plan %v:\n%s", plan != nil, diags)
	}
}

func TestOffline(t *testing.T) {
	plan, diags := Compile("p.yaml", []byte(surface), Options{})
	if plan != nil || diags.HasErrors() || len(diags) != 2 {
		t.Errorf("plan %v:\n%s", plan != nil, diags)
	}
	asked := 0
	opt := Options{Subject: func(ref RegistryRef) (*schemas.Schema, error) {
		asked++
		if ref.Username != "u" || ref.Password != "secret" {
			t.Errorf("asked with %q", ref.Username)
		}
		return nil, errors.New("connection refused")
	}, Env: func(name string) (string, bool) { return "secret", name == "PASSWORD" }}
	src := replaced(t, "subject: transactions-value", `username: u, password: "${PASSWORD}"`)
	src = strings.Replace(src, "entities:", "  second:\n    kafka: {brokers: \"h:1\", topic: transactions}\n    schema: {registry: \"http://localhost:8081/\", username: u, password: \"${PASSWORD}\"}\n    time: ts\nentities:", 1)
	plan, diags = Compile("p.yaml", []byte(src), opt)
	if plan != nil || asked != 1 || !strings.Contains(diags.String(), `look up subject "transactions-value": connection refused`) {
		t.Errorf("asked %d times, plan %v:\n%s", asked, plan != nil, diags)
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	src := replaced(t, "start: earliest", "start: 2013-01-05T10:00:00Z, tls: true, sasl: {mechanism: SCRAM-SHA-512, username: u, password: {file: pw}}")
	plan, diags := Compile(filepath.Join(dir, "p.yaml"), []byte(src), online(t))
	if plan == nil {
		t.Fatal(diags)
	}
	k := plan.Sources[0].Kafka
	if *k.SASL != (SASL{"SCRAM-SHA-512", "u", "hunter2"}) || *k.TLS != (TLS{}) || k.Start.At.String() != "2013-01-05T10:00:00.000000Z" {
		t.Errorf("kafka %+v", k)
	}
	for _, form := range []string{"%v", "%+v"} {
		if text := fmt.Sprintf(form, *k.SASL); strings.Contains(text, "hunter2") {
			t.Errorf("%s prints the password", form)
		}
	}
}

func TestSetOfExpressions(t *testing.T) {
	src := surface + `      - {name: twice, expr: spend_ratio * 2}
      - {name: alias, expr: user_spend.tx_1h, default: 7}
      - {name: mixed, expr: amount + spend_1h + user_spend.tx_1h}
`
	plan := mustCompile(t, src)
	s := plan.Set("fraud")
	if f := s.Features[2]; len(f.Deps) != 1 || f.Deps[0] != (Dep{Earlier: 1}) {
		t.Errorf("twice %+v", f)
	}
	if f := s.Features[3]; f.Ref == nil || f.Name != "alias" || f.Default != event.LongOf(7) {
		t.Errorf("alias %+v", f)
	}
	f := s.Features[4]
	got := f.Expr.Eval([]event.Value{event.DoubleOf(1), event.DoubleOf(2), event.LongOf(4)})
	if got != event.DoubleOf(7) || len(f.Deps) != 2 || f.Deps[1].Ref == nil {
		t.Errorf("mixed %+v gives %v", f, got)
	}
}

func TestLoadMissing(t *testing.T) {
	plan, diags := Load(filepath.Join(t.TempDir(), "none.yaml"), Options{})
	if plan != nil || !strings.HasSuffix(strings.TrimSpace(diags.String()), "none.yaml: no such file") {
		t.Errorf("plan %v: %s", plan != nil, diags)
	}
}

// A field may have a name that is a word or a function of expressions.
func TestFieldsNamedAsWords(t *testing.T) {
	for _, name := range []string{"in", "not", "len", "count", "filter", "date", "nil", "true", "let", "if"} {
		schema, err := schemas.Parse([]byte(strings.Replace(transactionsSchema, `"name": "fee"`, `"name": "`+name+`"`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		opt := online(t)
		opt.Subject = func(RegistryRef) (*schemas.Schema, error) { return schema, nil }
		plan, diags := Compile("p.yaml", []byte(replaced(t, "{last: country}", "{max: "+name+"}")), opt)
		if plan == nil {
			t.Errorf("%s:\n%s", name, diags)
			continue
		}
		f := plan.Views[0].Feature("last_country")
		in := plan.Views[0].Inputs[plan.Views[0].Layout.Groups[f.Group].Input]
		if in.Program != nil || plan.Sources[0].Columns[in.Slot].Name != name {
			t.Errorf("%s: input %+v", name, in)
		}
	}
}

func TestConstant(t *testing.T) {
	for _, c := range []struct {
		text string
		typ  event.Type
		want string // "!" and a part of the problem
	}{
		{"true", event.Type{Kind: event.Bool}, "true"},
		{"1", event.Type{Kind: event.Bool}, "!true or false"},
		{"-3", event.Type{Kind: event.Long}, "-3"},
		{"9223372036854775808", event.Type{Kind: event.Long}, "!whole number"},
		{"1e3", event.Type{Kind: event.Double}, "1000"},
		{"NaN", event.Type{Kind: event.Double}, "NaN"},
		{"0x1p4", event.Type{Kind: event.Double}, "!not a number"},
		{"x", event.Type{Kind: event.String}, "x"},
		{"AAE=", event.Type{Kind: event.Bytes}, "AAE="},
		{"?", event.Type{Kind: event.Bytes}, "!base64"},
		{"2013-01-05T10:00:00Z", event.Type{Kind: event.Timestamp}, "2013-01-05T10:00:00.000000Z"},
		{"2013-01-05", event.Type{Kind: event.Timestamp}, "!instant"},
		{"1969-12-31", event.Type{Kind: event.Date}, "1969-12-31"},
		{"1.5", event.Type{Kind: event.Decimal, Scale: 2}, "1.50"},
		{"-0.05", event.Type{Kind: event.Decimal, Scale: 2}, "-0.05"},
		{"1.505", event.Type{Kind: event.Decimal, Scale: 2}, "!more than 2 digits"},
		{"--1", event.Type{Kind: event.Decimal}, "!not a number"},
		{"x", event.Type{Kind: event.List}, "!not a list"},
	} {
		v, _, problem := constant(&node{kind: scalarNode, text: c.text, plain: true}, c.typ)
		if want, bad := strings.CutPrefix(c.want, "!"); bad != (problem != "") || bad && !strings.Contains(problem, want) || !bad && v.String() != want {
			t.Errorf("%q as %s: %v, %q; want %s", c.text, c.typ, v, problem, c.want)
		}
	}
}
