package oracle

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/expr"
)

var columns = []pipeline.Column{
	{Name: "ts", Type: event.Type{Kind: event.Timestamp, Nullable: true}},
	{Name: "user", Type: event.Type{Kind: event.String, Nullable: true}},
	{Name: "amount", Type: event.Type{Kind: event.Double, Nullable: true}},
}

// compile compiles src over the columns and earlier computed ones.
func compile(t *testing.T, src string, computed ...pipeline.Column) *expr.Program {
	t.Helper()
	all := append(slices.Clone(columns), computed...)
	p, err := expr.Compile(src, func(name string) (int, event.Type, bool) {
		i := slices.IndexFunc(all, func(c pipeline.Column) bool { return c.Name == name })
		if i < 0 {
			return 0, event.Type{}, false
		}
		return i, all[i].Type, true
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// purchases is a source with a view that has all there is, and one that takes every record.
func purchases(t *testing.T) (*pipeline.Source, []*pipeline.View) {
	src := &pipeline.Source{Index: 3, Name: "purchases", Order: -1, Ahead: 10, Columns: columns}
	twice := pipeline.Column{Name: "twice", Type: event.Type{Kind: event.Double, Nullable: true}}
	full := &pipeline.View{Name: "full", History: 20, Keep: 30, Branch: pipeline.Branch{
		Source: src, Keys: []int{1},
		Computed: []*expr.Program{compile(t, "amount * 2")},
		Where:    compile(t, "twice > 0", twice),
		Filters:  []*expr.Program{compile(t, "amount > 5", twice), compile(t, `user == "b"`, twice)},
		Inputs:   []pipeline.Input{{Slot: 3}, {Program: compile(t, "amount + 1", twice)}},
	}}
	plain := &pipeline.View{Name: "plain", Branch: pipeline.Branch{Source: src, Keys: []int{1}}, History: 5, Keep: 1000}
	return src, []*pipeline.View{full, plain}
}

// rec is a record that arrives at its offset; a time below 0, an empty user and an amount of NaN are null.
func rec(partition int32, offset int64, time event.Time, user string, amount float64) Record {
	r := Record{Partition: partition, Offset: offset, Arrival: event.Time(offset), Slots: make([]event.Value, 3)}
	if time >= 0 {
		r.Slots[0] = event.TimestampOf(time)
	}
	if user != "" {
		r.Slots[1] = event.StringOf(user)
	}
	if !math.IsNaN(amount) {
		r.Slots[2] = event.DoubleOf(amount)
	}
	return r
}

func TestIngest(t *testing.T) {
	null := math.NaN()
	src, views := purchases(t)
	records := []Record{
		rec(0, 100, 100, "a", 10),
		rec(0, 101, 60, "a", 10), // more than 30 behind the watermark 100
		rec(0, 102, 112, "b", 1), // as far ahead as may be
		rec(0, 103, 114, "a", 1), // one further
		rec(0, 104, -1, "a", 1),
		{Partition: 0, Offset: 105, Dead: "decode"},
		rec(0, 106, 82, "a", 1), // as old as may be: 112-30
		rec(0, 107, 81, "a", 1), // one older
		rec(0, 108, 81, "", 1),  // older, and no key
		rec(0, 109, 81, "", -1), // and filtered
		rec(0, 110, 116, "a", null),
		rec(0, 111, 86, "a", 1), // behind the filtered record's watermark, 116-30
		rec(0, 112, 85, "a", 1),
		rec(1, 200, 50, "a", 7), // its own partition's watermark
		rec(1, 200, 50, "a", 9), // the same position again
	}
	// In whatever order they come.
	slices.Reverse(records[:14])
	got := Ingest(src, views, records)
	verdicts := func(in Ingested) string {
		var b strings.Builder
		for _, v := range in.Verdicts {
			fmt.Fprintf(&b, "%d@%d %s %s\n", v.Partition, v.Offset, v.Outcome, v.Reason)
		}
		return b.String()
	}
	want := `0@100 applied 
0@101 late late
0@102 applied 
0@103 dead ahead
0@104 dead time
0@105 dead decode
0@106 applied 
0@107 late late
0@108 dead key
0@109 filtered 
0@110 filtered 
0@111 applied 
0@112 late late
1@200 applied 
`
	if s := verdicts(got[0]); s != want {
		t.Errorf("view full:\n%s\nwant\n%s", s, want)
	}
	if n := fmt.Sprint(got[0].Counts); n != "map[applied:5 dead:4 filtered:2 late:3]" {
		t.Errorf("view full counts %s", n)
	}
	if n := fmt.Sprint(got[1].Counts); n != "map[applied:9 dead:5]" {
		t.Errorf("view plain counts %s", n)
	}
	for i, horizon := range []event.Time{30, 45} { // the smallest watermark is 50
		if got[i].Horizon != horizon || got[i].Watermarks[0] != 116 || got[i].Watermarks[1] != 50 {
			t.Errorf("view %d: horizon %d, watermarks %v", i, got[i].Horizon, got[i].Watermarks)
		}
	}
	row := got[0].Rows[0]
	if row.Key[0].Str != "a" || row.Time != 100 || row.Arrival != 100 || row.Pass != 1 || fmt.Sprint(row.Values) != "[20 11]" ||
		row.Pos != (event.Position{Source: 3, Offset: 100}) || !row.Order.IsNull() {
		t.Errorf("the first row is %+v", row)
	}
	if row := got[0].Rows[1]; row.Pass != 2 {
		t.Errorf("the row of b passes %b", row.Pass)
	}
}

func TestHorizon(t *testing.T) {
	v := &pipeline.View{History: 10}
	if h := Horizon(v); h != event.MinTime {
		t.Errorf("without partitions: %d", h)
	}
	if h := Horizon(v, 5, event.MinTime); h != event.MinTime {
		t.Errorf("with an empty partition: %d", h)
	}
	if h := Horizon(v, 50, 40, 60); h != 30 {
		t.Errorf("got %d, want 30", h)
	}
}

func TestEventTime(t *testing.T) {
	for _, c := range []struct {
		unit, in int64
		want     event.Time
		ok       bool
	}{
		{0, 7, 7, true},
		{1_000_000, -3, -3_000_000, true},
		{1_000_000, math.MaxInt64 / 1_000_000, math.MaxInt64 / 1_000_000 * 1_000_000, true},
		{1_000_000, math.MaxInt64/1_000_000 + 1, 0, false},
		{1000, math.MinInt64, 0, false},
		{-1000, 1999, 1, true},
		{-1000, -1, -1, true},
		{-1000, -1000, -1, true},
		{-1000, -1001, -2, true},
	} {
		got, ok := eventTime(pipeline.TimeField{Unit: c.unit}, event.LongOf(c.in))
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%d × %d is %d %v, want %d %v", c.in, c.unit, got, ok, c.want, c.ok)
		}
	}
	if _, ok := eventTime(pipeline.TimeField{}, event.Value{}); ok {
		t.Error("null is an instant")
	}
}
