package oracle

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// Kept are the rows that count in v: all, or with dedupe those that are no copies. The rows of an entity with
// one id are taken in tie order, and one is kept if none that was kept lies up to the horizon before it. rows
// are of any entities, in any order.
func Kept(v *pipeline.View, rows []Row) []Row {
	if v.Dedupe == nil {
		return rows
	}
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b Row) int { return a.Compare(&b.Row) })
	type sent struct{ key, id string }
	var kept []Row
	last := map[sent]event.Time{} // of kept
	for _, r := range rows {
		id := r.Values[v.Dedupe.Input]
		of := sent{keyText(r.Key), keyText([]event.Value{id})}
		if t, ok := last[of]; ok && !id.IsNull() && t >= r.Time.Add(-v.Dedupe.Within) {
			continue
		}
		kept, last[of] = append(kept, r), r.Time
	}
	return kept
}
