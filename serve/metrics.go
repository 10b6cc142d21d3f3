package serve

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// Metrics is what /metrics answers. It exists before the Store, whose Options take its Observer.
// The counters of records are not kept here: they are read from the state when scraped.
type Metrics struct {
	registry  *prometheus.Registry
	commit    prometheus.Histogram
	freshness prometheus.Histogram
	requests  *prometheus.HistogramVec
}

// NewMetrics returns metrics with nothing observed, the Go runtime's and the process's included.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		commit: prometheus.NewHistogram(histogram("penstock_commit_seconds",
			"How long commits of the state took, until durable.",
			.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)),
		freshness: prometheus.NewHistogram(histogram("penstock_freshness_seconds",
			"From a record's arrival at the broker to being answered by look-ups; the newest record of each batch.",
			.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600)),
		requests: prometheus.NewHistogramVec(histogram("penstock_request_seconds",
			"How long HTTP requests took, by route and status code.",
			.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10), []string{"route", "code"}),
	}
	m.registry.MustRegister(m.commit, m.freshness, m.requests,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// histogram has classic buckets, and native ones for scrapers that ask for them.
func histogram(name, help string, buckets ...float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// Observer returns the hooks to give to feature.Options.
func (m *Metrics) Observer() feature.Observer {
	return feature.Observer{
		Commit:   func(took time.Duration, _, _ int) { m.commit.Observe(took.Seconds()) },
		Servable: func(since time.Duration) { m.freshness.Observe(max(0, since.Seconds())) },
	}
}

// Registry is where further collectors may be registered.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// MetricNames lists the names of Penstock's own metrics, sorted.
func MetricNames() []string {
	return []string{
		"penstock_build_info", "penstock_commit_seconds", "penstock_dirty_bytes", "penstock_entities_in_memory",
		"penstock_entity_misses_total", "penstock_freshness_seconds",
		"penstock_lag_records", "penstock_memory_bytes", "penstock_ready", "penstock_records_read_total",
		"penstock_records_total", "penstock_request_seconds", "penstock_serving_log_rows_total", "penstock_state_bytes", "penstock_sweep_seconds_total",
		"penstock_trimmed_rows_total", "penstock_unjoined_rows_total", "penstock_view_blocks", "penstock_view_bytes", "penstock_view_bytes_per_feature",
		"penstock_view_counted_timestamp_seconds", "penstock_view_keys", "penstock_view_rows", "penstock_watermark_delay_seconds",
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descRecords   = desc("penstock_records_total", "Records by what became of them in a view; the outcomes of a view add up to the records read of its source. Read from the state: a correction lowers one outcome and raises another.", "source", "view", "outcome")
	descRead      = desc("penstock_records_read_total", "Records read, each position once. Read from the state: after a crash it goes back to what is durable.", "source")
	descLag       = desc("penstock_lag_records", "Records of a partition that are not yet read.", "source", "partition")
	descWatermark = desc("penstock_watermark_delay_seconds", "How far the smallest watermark of a source's partitions is behind the clock.", "source")
	descState     = desc("penstock_state_bytes", "Size of the state.", "kind")
	descReady     = desc("penstock_ready", "1 if /readyz answers 200, else 0.")
	descMemory    = desc("penstock_memory_bytes", "Heads, queues and caches in memory.")
	descDirty     = desc("penstock_dirty_bytes", "What of the memory is not yet durable.")
	descHeads     = desc("penstock_entities_in_memory", "Entities of views that are in memory.")
	descMisses    = desc("penstock_entity_misses_total", "Rows, since the start, whose entity was not in memory: each is merged with what is stored when it is flushed.")
	descKeys      = desc("penstock_view_keys", "Entities that are stored of a view, as last counted; absent until then.", "view")
	descRows      = desc("penstock_view_rows", "Rows that are stored of a view, as last counted; absent until then.", "view")
	descBlocks    = desc("penstock_view_blocks", "Blocks of the archives of a view, as last counted; absent until then.", "view")
	descBytes     = desc("penstock_view_bytes", "Keys and values that are stored of a view, as last counted; absent until then.", "view")
	descEach      = desc("penstock_view_bytes_per_feature", "penstock_view_bytes by the number of the view's features.", "view")
	descCounted   = desc("penstock_view_counted_timestamp_seconds", "When what is stored of a view was last counted.", "view")
	descTrimmed   = desc("penstock_trimmed_rows_total", "Rows, since the start, that were dropped or folded since no answer needs them any more.", "view")
	descUnjoined  = desc("penstock_unjoined_rows_total", "Rows, since the start, that came when those of their time had been trimmed, from partitions that were idle: they are not joined with these.", "view")
	descSweep     = desc("penstock_sweep_seconds_total", "For how long, since the start, what is stored has been counted and trimmed.")
	descLogged    = desc("penstock_serving_log_rows_total", "Served rows, since the start, of the entities that the serving log samples: written, dropped since the queue was full, or failed.", "outcome")
	descBuild     = desc("penstock_build_info", "1, labelled with what is running.", "version", "goversion", "pipeline")
)

// collector reads a Server's store when it is scraped.
type collector struct{ s *Server }

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descRecords, descRead, descLag, descWatermark, descState, descReady, descMemory, descDirty, descHeads, descMisses,
		descKeys, descRows, descBlocks, descBytes, descEach, descCounted, descTrimmed, descUnjoined, descSweep, descLogged, descBuild,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	st := c.s.cfg.Store.Stats()
	now := c.s.cfg.Now()
	for _, src := range st.Sources {
		gauge(descRead, float64(src.Read), src.Name)
		if w := smallestWatermark(src.Partitions); w != event.MinTime {
			gauge(descWatermark, float64(now.Sub(w))/1e6, src.Name)
		}
	}
	for i := range st.Views {
		v := &st.Views[i]
		for _, o := range outcomes(v) {
			gauge(descRecords, float64(o.n), v.Source, v.Name, o.name)
		}
	}
	if c.s.cfg.Status != nil {
		for _, src := range c.s.cfg.Status() {
			for _, p := range src.Partitions {
				if p.Lag >= 0 {
					gauge(descLag, float64(p.Lag), src.Source, strconv.Itoa(int(p.Partition)))
				}
			}
		}
	}
	gauge(descState, float64(st.State.DiskBytes), "disk")
	gauge(descState, float64(st.State.MemoryBytes), "memory")
	gauge(descMemory, float64(st.Memory))
	gauge(descDirty, float64(st.Dirty))
	gauge(descHeads, float64(st.Heads))
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	counter(descMisses, float64(st.Misses))
	for i := range st.Stored {
		x := &st.Stored[i]
		counter(descTrimmed, float64(x.Trimmed), x.View)
		counter(descUnjoined, float64(x.Unjoined), x.View)
		if x.At == event.MinTime {
			continue
		}
		gauge(descKeys, float64(x.Keys), x.View)
		gauge(descRows, float64(x.Rows), x.View)
		gauge(descBlocks, float64(x.Blocks), x.View)
		gauge(descBytes, float64(x.Bytes), x.View)
		gauge(descEach, float64(x.Bytes)/float64(max(x.Features, 1)), x.View)
		gauge(descCounted, float64(x.At)/1e6, x.View)
	}
	counter(descSweep, st.Sweeping.Seconds())
	var logged [3]int64
	if l := c.s.cfg.ServingLog; l != nil {
		logged = [3]int64{l.written.Load(), l.dropped.Load(), l.failed.Load()}
	}
	for i, outcome := range []string{"written", "dropped", "failed"} {
		counter(descLogged, float64(logged[i]), outcome)
	}
	ready := 0.0
	if c.s.ready() == nil {
		ready = 1
	}
	gauge(descReady, ready)
	name := ""
	if c.s.cfg.Plan != nil {
		name = c.s.cfg.Plan.Name
	}
	gauge(descBuild, 1, c.s.cfg.Version, runtime.Version(), name)
}

type outcome struct {
	name string
	n    int64
}

// outcomes are all five counts of a view, in the order they are shown.
func outcomes(v *feature.ViewStats) [5]outcome {
	return [5]outcome{{"applied", v.Applied}, {"filtered", v.Filtered}, {"duplicate", v.Duplicate}, {"late", v.Late}, {"dead", v.Dead}}
}

// smallestWatermark is that of the partitions that have not left; of all if all have; MinTime if
// none has seen an event.
func smallestWatermark(parts []feature.PartitionStats) event.Time {
	least, newest := event.MaxTime, event.MinTime
	for _, p := range parts {
		if p.Watermark == event.MinTime {
			continue
		}
		newest = max(newest, p.Watermark)
		if !p.Left {
			least = min(least, p.Watermark)
		}
	}
	if least == event.MaxTime {
		return newest
	}
	return least
}
