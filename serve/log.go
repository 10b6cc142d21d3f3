package serve

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// LogConfig is what a Log is made of.
type LogConfig struct {
	Dir       string       // made if it does not exist
	Sample    float64      // share of entities: above 0 and at most 1
	FileBytes int64        // a file that is larger is followed by the next
	KeepBytes int64        // the oldest files are deleted beyond it
	Logger    *slog.Logger // nil: discards
}

// Log keeps what is served of a sample of entities, as JSON lines. Look-ups hand lines over and never wait: what
// does not fit the queue is dropped and counted.
type Log struct {
	cfg     LogConfig
	below   uint64 // hashes of entities that are logged
	queue   chan logged
	done    chan struct{}
	close   sync.Once
	written atomic.Int64
	dropped atomic.Int64
	failed  atomic.Int64
}

// logged is one line on its way to a file.
type logged struct {
	stream string // of which file
	line   []byte
}

// logQueue is how many lines wait at most.
const logQueue = 4096

// OpenLog makes the folder and starts writing. Close ends it.
func OpenLog(cfg LogConfig) (*Log, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the serving log's folder: %w", err)
	}
	w, err := newLogFiles(cfg)
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, below: math.MaxUint64, queue: make(chan logged, logQueue), done: make(chan struct{})}
	if cfg.Sample < 1 {
		l.below = uint64(cfg.Sample * math.MaxUint64)
	}
	go l.run(w)
	return l, nil
}

// Close writes what is queued and closes the files. Nothing may be logged after it.
func (l *Log) Close() error {
	l.close.Do(func() { close(l.queue) })
	<-l.done
	if n := l.dropped.Load() + l.failed.Load(); n > 0 {
		return fmt.Errorf("keep the serving log: %d rows are missing in it", n)
	}
	return nil
}

func (l *Log) run(w *logFiles) {
	defer close(l.done)
	told := false
	fail := func(n int64, err error) {
		l.failed.Add(n)
		if !told {
			told = true
			l.cfg.Logger.Error("write the serving log", "error", err)
		}
	}
	for x := range l.queue {
		if err := w.write(x); err != nil {
			fail(1, err)
			continue
		}
		l.written.Add(1)
		if len(l.queue) == 0 { // whoever reads along sees whole lines soon
			if err := w.flush(); err != nil {
				fail(0, err)
			}
		}
	}
	if err := errors.Join(w.flush(), w.closeAll()); err != nil {
		fail(0, err)
	}
}

// chosen tells whether an entity is of the sample: by its keys alone, in whatever selection.
func (l *Log) chosen(keys []event.Value, buf []byte) ([]byte, bool) {
	buf = buf[:0]
	for _, k := range keys {
		buf = event.AppendValue(buf, k)
	}
	return buf, xxhash.Sum64(buf) <= l.below
}

// put hands a line over, or drops it.
func (l *Log) put(stream string, line []byte) {
	select {
	case l.queue <- logged{stream, line}:
	default:
		l.dropped.Add(1)
	}
}

// logHead is what all lines of a request have.
type logHead struct {
	positions string // before the first row was read
	served    string // when the first one of the sample had been
}

// LogHeader is a header of look-ups: with the value "off" nothing of the answer is logged, which is for whoever asks
// to look at the server, and not for a model.
const LogHeader = "Penstock-Log"

// logs tells whether an entity is logged; if so, the positions are known when it is read.
func (s *Server) logs(l *lookup, a *answerer, keys []event.Value, head *logHead) bool {
	var chosen bool
	if s.cfg.ServingLog == nil || l.unlogged {
		return false
	}
	if l.hashed, chosen = s.cfg.ServingLog.chosen(keys, l.hashed); chosen && head.positions == "" {
		head.positions = positionsText(s.cfg.Store.Positions(a.sel))
	}
	return chosen
}

// servedPrefix is what the columns of served values begin with: an export of the same features beside them has their
// own names free.
const servedPrefix = "served_"

// logRow logs one row of an answer. An object a line: the instant and the columns of
// a spine, the values as served, and columns that begin with _.
func (s *Server) logRow(l *lookup, a *answerer, at event.Time, keys, request []event.Value, head *logHead) {
	if head.served == "" {
		head.served = s.cfg.Now().String()
	}
	b := append(make([]byte, 0, 512), `{"event_time":`...)
	b = event.AppendJSONTime(b, at, event.Layout)
	for i, c := range a.sel.Keys {
		b = appendMember(b, c.Name, keys[i])
	}
	for i, c := range a.sel.Request {
		b = appendMember(b, c.Name, request[i])
	}
	for i, c := range a.sel.Columns {
		b = appendMember(b, servedPrefix+c.Name, l.vector.Values[i])
	}
	b = append(b, `,"_status":"`...)
	for i, st := range l.vector.Status {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, st.String()...)
	}
	b = append(b, `","_served_at":"`...)
	b = append(b, head.served...)
	b = append(append(b, `","_positions":`...), head.positions...)
	b = append(append(b, `,"_selection":`...), a.logName...)
	b = append(append(b, `,"_versions":`...), a.versions...)
	s.cfg.ServingLog.put(a.logStream, append(b, "}\n"...))
}

func appendMember(b []byte, name string, v event.Value) []byte {
	b = event.AppendJSONString(append(b, ','), name)
	return event.AppendJSON(append(b, ':'), v)
}

// positionsText is source/partition@next, with spaces between, as JSON.
func positionsText(list []feature.Place) string {
	var out []string
	for _, p := range list {
		out = append(out, p.Source+"/"+strconv.Itoa(int(p.Partition))+"@"+strconv.FormatInt(p.Offset, 10))
	}
	return string(event.AppendJSONString(nil, strings.Join(out, " ")))
}

// name makes what lines of a selection are called by: the file, the selection and the views' versions.
func (a *answerer) name(sel feature.Selection) {
	text := "features"
	a.logStream = "features"
	switch {
	case sel.Set != "":
		text, a.logStream = "set "+sel.Set, "set-"+sel.Set
	case sel.View != "":
		text, a.logStream = "view "+sel.View, "view-"+sel.View
	}
	if len(sel.Features) > 0 {
		text += ": " + strings.Join(sel.Features, ",")
		h := fnv.New32a()
		_, _ = h.Write([]byte(text))
		a.logStream += fmt.Sprintf("-%08x", h.Sum32())
	}
	a.logName = event.AppendJSONString(nil, text)
	a.versions = event.AppendJSONString(nil, strings.Join(a.sel.Versions(), " "))
}
