package feature

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// upTo are the records before the offsets of a cut.
func upTo(cut *Cut, src *pipeline.Source, records []oracle.Record) (out []oracle.Record) {
	next := map[int32]int64{}
	for _, o := range cut.Offsets() {
		if o.Source == src.Name {
			next[o.Partition] = o.Next
		}
	}
	for _, r := range records {
		if r.Offset < next[r.Partition] {
			out = append(out, r)
		}
	}
	return out
}

func rowText(r *event.Row) string {
	for i, v := range r.Values {
		if v.Kind == event.Double {
			r.Values[i] = event.DoubleOf(v.Double()) // -0 reads as 0
		}
	}
	return fmt.Sprint(r.Time, r.Arrival, r.Pos.Partition, r.Pos.Offset, r.Pos.Index, r.Pass, r.Values)
}

// checkRows compares the rows that a cut has of a view with those that the oracle accepts of the records before it.
func checkRows(t *testing.T, rng *rand.Rand, cut *Cut, v *pipeline.View, records map[*pipeline.Source][]oracle.Record) {
	t.Helper()
	var all []oracle.Row
	for _, b := range v.Branches() {
		all = append(all, oracle.Ingest(b.Source, []*pipeline.View{v}, upTo(cut, b.Source, records[b.Source]))[0].Rows...)
	}
	all = oracle.Kept(v, all)
	queries := []RowQuery{{View: v, From: event.MinTime, To: event.MaxTime, Filter: -1}}
	for range 6 {
		a, b := all[rng.IntN(len(all))].Time, all[rng.IntN(len(all))].Time
		queries = append(queries, RowQuery{View: v, From: min(a, b), To: max(a, b) + event.Time(rng.IntN(2)), Filter: rng.IntN(len(v.Filters)+1) - 1})
	}
	for _, q := range queries {
		want := map[string][]oracle.Row{}
		for _, r := range all {
			if r.Time >= max(q.From, cut.Horizon(v)) && r.Time < q.To && (q.Filter < 0 || r.Pass&(1<<q.Filter) != 0) {
				want[fmt.Sprint(r.Key)] = append(want[fmt.Sprint(r.Key)], r)
			}
		}
		n, last := 0, ""
		for r, err := range cut.Rows(q) {
			if err != nil {
				t.Fatal(err)
			}
			key := fmt.Sprint(r.Keys)
			if key != last {
				if last != "" && len(want[last]) > 0 {
					t.Fatalf("%s: %d rows of %s are missing", v.Name, len(want[last]), last)
				}
				slices.SortFunc(want[key], func(a, b oracle.Row) int { return a.Compare(&b.Row) })
				last = key
			}
			if len(want[key]) == 0 {
				t.Fatalf("%s: %s has a row too many: %s", v.Name, key, rowText(r.Row))
			}
			if a, b := rowText(r.Row), rowText(&want[key][0].Row); a != b {
				t.Fatalf("%s: row %s of %s, want %s", v.Name, a, key, b)
			}
			want[key] = want[key][1:]
			n++
		}
		for key, rows := range want {
			if len(rows) > 0 {
				t.Fatalf("%s: after %d rows, %d of %s are missing", v.Name, n, len(rows), key)
			}
		}
	}
	known := map[string]bool{}
	for keys, err := range cut.Entities(v) {
		if err != nil {
			t.Fatal(err)
		}
		known[fmt.Sprint(keys)] = true
	}
	for _, r := range all {
		if !known[fmt.Sprint(r.Key)] {
			t.Fatalf("%s: entity %v is missing", v.Name, r.Key)
		}
	}
}

// TestRows reads the rows of views of one source, of several, of flattened records and with copies at cuts, while
// more comes and the archive changes.
func TestRows(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct{ name, yaml, schema, view string }{
		{"one source", testPipeline, testSchema, "all"},
		{"several sources", unionPipeline, testSchema, "all"},
		{"flattened", orderPipeline, orderSchema, "by_user"},
		{"with copies", dedupePipeline("6h"), testSchema, "all"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(runs(1, 3, 3)) {
				rng := rand.New(rand.NewPCG(seed, 77))
				plan := testPlanSchema(t, c.yaml, c.schema)
				records := map[*pipeline.Source][]oracle.Record{}
				for _, src := range plan.Sources {
					if c.schema == orderSchema {
						records[src] = orderRecords(t, rng, plan)
						continue
					}
					one := *plan
					one.Sources = []*pipeline.Source{src}
					records[src] = randomEvents(rng, &one, runs(1500, 3000, 3000), 3, 3)
					if plan.View(c.view).Dedupe != nil {
						copyEvents(rng, &one, records[src], 0.4, 6*event.Hour)
					}
				}
				rowsAtCuts(ctx, t, rng, plan, plan.View(c.view), records)
			}
		})
	}
}

func rowsAtCuts(ctx context.Context, t *testing.T, rng *rand.Rand, plan *pipeline.Plan, v *pipeline.View, records map[*pipeline.Source][]oracle.Record) {
	t.Helper()
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	var cuts []*Cut
	for range 4 {
		for _, src := range plan.Sources {
			feedSource(ctx, t, rng, s, src, records[src], 700)
		}
		cut, err := s.Cut(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer cut.Close()
		cuts = append(cuts, cut)
	}
	for _, cut := range cuts {
		checkRows(t, rng, cut, v, records)
	}
	n := 0
	for range cuts[3].Rows(RowQuery{View: v, From: event.MinTime, To: event.MaxTime, Filter: -1}) {
		if n++; n == 5 {
			break
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestDecodeKey reads back what is written of keys of every kind.
func TestDecodeKey(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	kinds := []event.Kind{event.Bool, event.Long, event.String, event.Bytes, event.Date, event.Timestamp}
	for range 2000 {
		var cols []pipeline.Column
		var keys []event.Value
		var b []byte
		for range 1 + r.IntN(4) {
			kind := kinds[r.IntN(len(kinds))]
			v := event.Value{Kind: kind}
			switch kind {
			case event.Bool:
				v = event.BoolOf(r.IntN(2) == 1)
			case event.String, event.Bytes:
				v.Str = string(bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(300)))
			default:
				v.Num = r.Uint64() >> r.IntN(64)
			}
			cols, keys = append(cols, pipeline.Column{Type: event.Type{Kind: kind}}), append(keys, v)
			b = appendKeyValue(b, &v)
		}
		got := make([]event.Value, len(cols))
		rest, err := decodeKey(append(b, 7, 8), cols, got)
		if err != nil || !slices.Equal(got, keys) || !bytes.Equal(rest, []byte{7, 8}) {
			t.Fatalf("%v of %v: %v, rest %v, %v", got, keys, cols, rest, err)
		}
		for n := range len(b) { // damaged keys are no panic
			_, _ = decodeKey(b[:n], cols, got)
		}
	}
}

// TestSortRows: rows by time, those of one instant in the order they had, whatever they span and however many.
func TestSortRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		rows := make([]rowRef, rng.IntN(700))
		span := []int64{1, 20, 1 << 40, math.MaxInt64}[rng.IntN(4)]
		for i := range rows {
			at := event.Time(rng.Int64N(span))
			if rng.IntN(2) == 0 {
				at = -at
			}
			if i > 0 && rng.IntN(3) > 0 {
				at = rows[i-1].t
			}
			rows[i] = rowRef{t: at, b: binary.AppendUvarint(nil, uint64(i))}
		}
		want := slices.Clone(rows)
		slices.SortStableFunc(want, func(a, b rowRef) int { return cmp.Compare(a.t, b.t) })
		sortRows(rows)
		for i := range rows {
			if rows[i].t != want[i].t || !bytes.Equal(rows[i].b, want[i].b) {
				t.Fatalf("%d rows over %d: row %d is at %v, want %v", len(rows), span, i, rows[i].t, want[i].t)
			}
		}
	}
}
