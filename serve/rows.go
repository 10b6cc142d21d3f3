package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// RowsPath is where a server tells the raw rows of entities, for `penstock verify`. What it takes and answers belongs
// to one version of the program.
const RowsPath = "/v1/rows"

// maxRawRows bounds the rows of one answer.
const maxRawRows = 200_000

// RowsQuestion asks for rows of entities, all at one cut.
type RowsQuestion struct {
	Views []RowsOf `json:"views"`
}

// RowsOf names entities of a view.
type RowsOf struct {
	View    string   `json:"view"`
	Version string   `json:"version"`          // what the asker knows; another one is refused
	Sample  int      `json:"sample,omitempty"` // so many entities, chosen as feature.KeySample does; without their rows
	Seed    uint64   `json:"seed,omitempty"`
	Keys    [][]byte `json:"keys,omitempty"` // of each entity, by event.AppendValue
}

// RowsAnswer is what was asked for.
type RowsAnswer struct {
	Offsets []RowsOffset `json:"offsets"`
	Views   []ViewRows   `json:"views"` // as asked
}

// RowsOffset is the cut's position in a partition; next to read.
type RowsOffset struct {
	Source    string `json:"source"`
	Partition int32  `json:"partition"`
	Next      int64  `json:"next"`
}

// ViewRows is what a view keeps of entities.
type ViewRows struct {
	Horizon  int64        `json:"horizon"`  // event.Time
	Sample   [][]byte     `json:"sample"`   // as RowsOf.Keys
	Entities []EntityRows `json:"entities"` // as RowsOf.Keys asks
}

// EntityRows is what is kept of an entity.
type EntityRows struct {
	All     bool     `json:"all"`     // false: they would be too many, and are left out
	Trimmed int64    `json:"trimmed"` // rows kept as a sum alone
	Rows    []RawRow `json:"rows"`
}

// RawRow is an event.Row.
type RawRow struct {
	Time      int64  `json:"t"`
	Arrival   int64  `json:"a"`
	Source    uint16 `json:"s"`
	Partition int32  `json:"p"`
	Offset    int64  `json:"o"`
	Index     int32  `json:"i,omitempty"`
	Pass      uint64 `json:"f,omitempty"`
	Order     []byte `json:"k,omitempty"` // by event.AppendValue
	Values    []byte `json:"v"`           // each by event.AppendValue
}

// rawRows answers RowsPath. It fixes a cut, as an export does, so one question at a time is enough.
func (s *Server) rawRows(w http.ResponseWriter, r *http.Request) {
	if !s.asking.TryLock() {
		writeError(w, &apiError{
			status: http.StatusTooManyRequests, Code: "busy", Message: "another question for rows is being answered", Hint: "ask again in a moment",
		})
		return
	}
	defer s.asking.Unlock()
	l := lookup{}
	apiErr := s.readBody(&l, w, r)
	if apiErr == nil {
		apiErr = s.readable()
	}
	var q RowsQuestion
	if apiErr == nil {
		d := json.NewDecoder(bytes.NewReader(l.body))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			apiErr = malformed("", "the body is not a question for rows: "+err.Error(), "are the client and the server of one version?")
		}
	}
	if apiErr != nil {
		writeError(w, apiErr)
		return
	}
	out, err := s.rowsAt(r, &q)
	if err == nil {
		var b []byte
		if b, err = json.Marshal(out); err == nil {
			h := w.Header()
			h["Content-Type"] = jsonType
			h["Content-Length"] = []string{strconv.Itoa(len(b))}
			_, _ = w.Write(b)
			return
		}
	}
	var own *apiError
	if !errors.As(err, &own) {
		if r.Context().Err() == nil {
			s.log.Error("tell rows", "error", err)
		}
		own = internalError()
	}
	writeError(w, own)
}

func (s *Server) rowsAt(r *http.Request, q *RowsQuestion) (*RowsAnswer, error) {
	views := make([]*pipeline.View, len(q.Views))
	for i, of := range q.Views {
		v := s.cfg.Plan.View(of.View)
		if v == nil || v.Version != of.Version {
			return nil, &apiError{
				status: http.StatusBadRequest, Code: "definition", At: fmt.Sprintf("views[%d]", i),
				Message: fmt.Sprintf("view %q is defined otherwise in the file that the server runs", clip(of.View)), Hint: "give the file that the server was started with",
			}
		}
		views[i] = v
	}
	cut, err := s.cfg.Store.Cut(r.Context())
	if err != nil {
		return nil, fmt.Errorf("fix a cut: %w", err)
	}
	defer cut.Close()
	out := &RowsAnswer{}
	for _, o := range cut.Offsets() {
		out.Offsets = append(out.Offsets, RowsOffset(o))
	}
	left := maxRawRows
	for i, of := range q.Views {
		x, err := viewRows(r, cut, views[i], &of, &left)
		if err != nil {
			return nil, err
		}
		out.Views = append(out.Views, *x)
	}
	return out, nil
}

// viewRows tells the rows of one view; left is how many there may be yet.
func viewRows(r *http.Request, cut *feature.Cut, v *pipeline.View, of *RowsOf, left *int) (*ViewRows, error) {
	x := &ViewRows{Horizon: int64(cut.Horizon(v))}
	if of.Sample > 0 {
		sample := feature.NewKeySample(min(of.Sample, DefaultMaxEntities), of.Seed)
		for keys, err := range cut.Entities(v) {
			if err == nil {
				err = r.Context().Err()
			}
			if err != nil {
				return nil, err
			}
			sample.Offer(keys)
		}
		for _, keys := range sample.Keys() {
			x.Sample = append(x.Sample, AppendKeys(nil, keys))
		}
	}
	for i, b := range of.Keys {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		keys, ok := ParseKeys(b, v.Entity.Keys)
		if !ok {
			return nil, malformed(fmt.Sprintf("keys[%d]", i), fmt.Sprintf("they are no keys of view %q", v.Name), "")
		}
		rows, all, err := cut.SomeRawRows(v, keys, *left)
		if err != nil {
			return nil, err
		}
		*left -= len(rows)
		e := EntityRows{All: all, Rows: make([]RawRow, 0, len(rows))}
		if e.Trimmed, err = cut.Trimmed(v, keys); err != nil {
			return nil, err
		}
		for j := range rows {
			e.Rows = append(e.Rows, rawRow(&rows[j]))
		}
		x.Entities = append(x.Entities, e)
	}
	return x, nil
}

func rawRow(r *event.Row) RawRow {
	out := RawRow{
		Time: int64(r.Time), Arrival: int64(r.Arrival), Source: r.Pos.Source, Partition: r.Pos.Partition, Offset: r.Pos.Offset, Index: r.Pos.Index,
		Pass: r.Pass, Values: AppendKeys(nil, r.Values),
	}
	if !r.Order.IsNull() {
		out.Order = event.AppendValue(nil, r.Order)
	}
	return out
}

// Row is the event.Row, with so many values; ok is false if it is none.
func (r *RawRow) Row(values int) (row event.Row, ok bool) {
	row = event.Row{
		Time: event.Time(r.Time), Arrival: event.Time(r.Arrival), Pass: r.Pass,
		Pos: event.Position{Source: r.Source, Partition: r.Partition, Offset: r.Offset, Index: r.Index},
	}
	if len(r.Order) > 0 {
		order, ok := parseValues(r.Order, 1)
		if !ok {
			return row, false
		}
		row.Order = order[0]
	}
	row.Values, ok = parseValues(r.Values, values)
	return row, ok
}

// AppendKeys appends the values of an entity's keys, as RowsOf has them.
func AppendKeys(dst []byte, keys []event.Value) []byte {
	for _, k := range keys {
		dst = event.AppendValue(dst, k)
	}
	return dst
}

// ParseKeys reads what AppendKeys wrote of keys of these columns; ok is false if it is not that.
func ParseKeys(b []byte, cols []pipeline.Column) (keys []event.Value, ok bool) {
	if keys, ok = parseValues(b, len(cols)); !ok {
		return nil, false
	}
	for i := range keys {
		if keys[i].Kind != cols[i].Type.Kind {
			return nil, false
		}
	}
	return keys, true
}

func parseValues(b []byte, n int) (out []event.Value, ok bool) {
	s := string(b)
	for range n {
		v, rest, err := event.DecodeValue(s)
		if err != nil {
			return nil, false
		}
		out, s = append(out, v), rest
	}
	return out, s == ""
}
