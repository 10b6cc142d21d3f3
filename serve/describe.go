package serve

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Description is what GET /v1/pipeline answers. Instants are RFC 3339 with six digits, null if there
// is none; lags are null while unknown.
type Description struct {
	Pipeline    string              `json:"pipeline"`
	Version     string              `json:"version"` // of Penstock
	Now         string              `json:"now"`
	Latest      *string             `json:"latest"` // what `"as_of": "latest"` means, over all sources
	Ready       bool                `json:"ready"`
	Reason      string              `json:"reason,omitempty"` // why not ready
	Sources     []SourceDescription `json:"sources"`
	Views       []ViewDescription   `json:"views"`
	Sets        []SetDescription    `json:"sets"`
	Exports     []ExportDescription `json:"exports"`
	MemoryBytes int64               `json:"memory_bytes"`
	DirtyBytes  int64               `json:"dirty_bytes"`
	State       StateDescription    `json:"state"`
}

// StateDescription tells the size of the state.
type StateDescription struct {
	DiskBytes   int64  `json:"disk_bytes"`
	MemoryBytes int64  `json:"memory_bytes"`
	Commits     uint64 `json:"commits"`
}

// SourceDescription tells how far a source is read.
type SourceDescription struct {
	Name       string                 `json:"name"`
	Kind       string                 `json:"kind"` // kafka, file
	From       string                 `json:"from"` // the topic or the path
	Read       int64                  `json:"read"`
	Lag        *int64                 `json:"lag"`
	Watermark  *string                `json:"watermark"` // the smallest of its partitions
	Waiting    string                 `json:"waiting,omitempty"`
	Partitions []PartitionDescription `json:"partitions"`
}

// PartitionDescription tells how far a partition is read; offsets are next to read.
type PartitionDescription struct {
	Partition int32   `json:"partition"`
	Next      int64   `json:"next"`
	Restart   int64   `json:"restart"`
	Lag       *int64  `json:"lag"`
	Watermark *string `json:"watermark"`
	Left      bool    `json:"left"`
	Waiting   string  `json:"waiting,omitempty"`
}

// ViewDescription is a view with its counts; applied to dead add up to the records read of its sources.
type ViewDescription struct {
	Name      string               `json:"name"`
	Source    string               `json:"source"`
	Entity    string               `json:"entity"`
	Keys      []ColumnDescription  `json:"keys"`
	Version   string               `json:"version"`
	History   string               `json:"history"`
	Horizon   *string              `json:"horizon"`
	Features  []FeatureDescription `json:"features"`
	Counts    map[string]int64     `json:"counts"` // applied, filtered, duplicate, late, dead
	Stored    *StoredDescription   `json:"stored"` // null: not counted yet
	Overflows int64                `json:"overflows"`
	Hidden    bool                 `json:"hidden,omitempty"` // it only keeps rows for labels and exports
}

// StoredDescription is what is stored of a view, as it was last counted.
type StoredDescription struct {
	Keys    int64  `json:"keys"`
	Rows    int64  `json:"rows"`
	Blocks  int64  `json:"blocks"`
	Bytes   int64  `json:"bytes"`
	Counted string `json:"counted"`
}

// SetDescription is a feature set.
type SetDescription struct {
	Name     string               `json:"name"`
	Keys     []ColumnDescription  `json:"keys"`
	Request  []ColumnDescription  `json:"request"`
	Features []FeatureDescription `json:"features"`
}

// ExportDescription is an export that the file declares.
type ExportDescription struct {
	Name     string               `json:"name"`
	Of       string               `json:"of"`    // what is exported: a set, a view, or dotted features
	Spine    string               `json:"spine"` // what a row is
	Keys     []ColumnDescription  `json:"keys"`
	Labels   []FeatureDescription `json:"labels"`
	Parts    []string             `json:"parts"`           // of its split
	Files    bool                 `json:"files,omitempty"` // a file for each part, in place of a column
	AsServed bool                 `json:"as_served,omitempty"`
	Out      string               `json:"out,omitempty"`
}

// ColumnDescription is a named, typed column.
type ColumnDescription struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// FeatureDescription is a feature with what it means.
type FeatureDescription struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Window string `json:"window,omitempty"`
	TTL    string `json:"ttl,omitempty"`
	Doc    string `json:"doc"`
}

// shape is the part of a Description that does not change.
type shape struct {
	views   []ViewDescription
	sets    []SetDescription
	exports []ExportDescription
}

// pipeline answers GET /v1/pipeline.
func (s *Server) pipeline(w http.ResponseWriter, _ *http.Request) {
	b, err := json.Marshal(s.describe())
	if err != nil {
		s.log.Error("describe the pipeline", "error", err)
		writeError(w, internalError())
		return
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	_, _ = w.Write(append(b, '\n'))
}

func (s *Server) describe() *Description {
	s.static.Do(func() { s.shape = s.describeShape() })
	st := s.cfg.Store.Stats()
	d := &Description{
		Version: s.cfg.Version, Now: s.cfg.Now().String(), Latest: instantText(justAfter(st.Latest)), Ready: true,
		MemoryBytes: st.Memory, DirtyBytes: st.Dirty,
		State:   StateDescription{st.State.DiskBytes, st.State.MemoryBytes, st.State.Commits},
		Sources: []SourceDescription{}, Views: append([]ViewDescription{}, s.shape.views...), Sets: s.shape.sets, Exports: s.shape.exports,
	}
	if err := s.ready(); err != nil {
		d.Ready, d.Reason = false, err.Message
	}
	var status []SourceStatus
	if s.cfg.Status != nil {
		status = s.cfg.Status()
	}
	if s.cfg.Plan != nil {
		d.Pipeline = s.cfg.Plan.Name
		for _, src := range s.cfg.Plan.Sources {
			d.Sources = append(d.Sources, describeSource(src, &st, status))
		}
	}
	for i := range d.Views {
		v := &d.Views[i]
		v.Counts = map[string]int64{}
		for _, x := range st.Stored {
			if x.View == v.Name && x.At != event.MinTime {
				v.Stored = &StoredDescription{x.Keys, x.Rows, x.Blocks, x.Bytes, x.At.String()}
			}
		}
		for j := range st.Views {
			if vs := &st.Views[j]; vs.Name == v.Name {
				v.Horizon, v.Overflows = instantText(vs.Horizon), vs.Overflows
				for _, o := range outcomes(vs) {
					v.Counts[o.name] += o.n // of each source of the view
				}
			}
		}
	}
	return d
}

func describeSource(src *pipeline.Source, st *feature.Stats, status []SourceStatus) SourceDescription {
	d := SourceDescription{Name: src.Name, Partitions: []PartitionDescription{}}
	switch {
	case src.Kafka != nil:
		d.Kind, d.From = "kafka", src.Kafka.Topic
	case src.File != nil:
		d.Kind, d.From = "file", src.File.Path
	}
	lags := map[int32]PartitionStatus{}
	for _, x := range status {
		if x.Source != src.Name {
			continue
		}
		d.Waiting = x.Waiting
		total, known := int64(0), len(x.Partitions) > 0
		for _, p := range x.Partitions {
			lags[p.Partition] = p
			total += p.Lag
			known = known && p.Lag >= 0
		}
		if known {
			d.Lag = &total
		}
	}
	for _, x := range st.Sources {
		if x.Name != src.Name {
			continue
		}
		d.Read, d.Watermark = x.Read, instantText(smallestWatermark(x.Partitions))
		for _, p := range x.Partitions {
			pd := PartitionDescription{
				Partition: p.Partition, Next: p.Next, Restart: p.Restart, Watermark: instantText(p.Watermark), Left: p.Left,
			}
			if l, ok := lags[p.Partition]; ok {
				pd.Waiting = l.Waiting
				if l.Lag >= 0 {
					pd.Lag = &l.Lag
				}
			}
			d.Partitions = append(d.Partitions, pd)
		}
	}
	return d
}

// justAfter is the instant as of which an event at t is in every window, or none.
func justAfter(t event.Time) event.Time {
	if t == event.MinTime {
		return t
	}
	return t.Add(1)
}

// instantText is t for people, or nil for none.
func instantText(t event.Time) *string {
	if t == event.MinTime || t == event.MaxTime {
		return nil
	}
	s := t.String()
	return &s
}

func describeColumns(cols []pipeline.Column) []ColumnDescription {
	out := []ColumnDescription{}
	for _, c := range cols {
		out = append(out, ColumnDescription{c.Name, c.Type.String()})
	}
	return out
}

func (s *Server) describeShape() shape {
	sh := shape{views: []ViewDescription{}, sets: []SetDescription{}, exports: []ExportDescription{}}
	if s.cfg.Plan == nil {
		return sh
	}
	for _, v := range s.cfg.Plan.Views {
		d := ViewDescription{
			Name: v.Name, Source: sourcesOf(v), Entity: v.Entity.Name, Keys: describeColumns(v.Entity.Keys),
			Version: v.Version, History: v.History.String(), Features: []FeatureDescription{}, Hidden: v.Hidden,
		}
		for _, f := range v.Features {
			fd := FeatureDescription{Name: f.Name, Type: f.Type.String(), Window: f.Window.String(), Doc: f.Doc}
			if f.TTL > 0 {
				fd.TTL = f.TTL.String()
			}
			d.Features = append(d.Features, fd)
		}
		sh.views = append(sh.views, d)
	}
	for _, set := range s.cfg.Plan.Sets {
		d := SetDescription{
			Name: set.Name, Keys: describeColumns(set.Keys), Request: describeColumns(set.Request), Features: []FeatureDescription{},
		}
		if sel, err := s.cfg.Store.Select(feature.Selection{Set: set.Name}); err == nil {
			for _, c := range sel.Columns {
				d.Features = append(d.Features, FeatureDescription{Name: c.Name, Type: c.Type.String(), Doc: c.Doc})
			}
		}
		sh.sets = append(sh.sets, d)
	}
	for _, x := range s.cfg.Plan.Exports {
		sh.exports = append(sh.exports, describeExport(x))
	}
	return sh
}

func describeExport(x *pipeline.Export) ExportDescription {
	d := ExportDescription{
		Name: x.Name, Of: "features " + strings.Join(x.Features, ", "), Spine: x.Spine.Doc, Keys: describeColumns(x.Keys),
		Labels: []FeatureDescription{}, Parts: []string{}, AsServed: x.AsServed, Out: x.Out,
	}
	switch {
	case x.Set != "":
		d.Of = "set " + x.Set
	case x.View != "":
		d.Of = "view " + x.View
	}
	for _, l := range x.Labels {
		d.Labels = append(d.Labels, FeatureDescription{Name: l.Name, Type: l.Type.String(), Doc: l.Doc})
	}
	if x.Split != nil {
		d.Files = x.Split.Files
		for _, p := range x.Split.Parts {
			d.Parts = append(d.Parts, p.Name)
		}
	}
	return d
}

// sourcesOf names the sources of a view.
func sourcesOf(v *pipeline.View) string {
	var names []string
	for _, b := range v.Branches() {
		names = append(names, b.Source.Name)
	}
	return strings.Join(names, ", ")
}
