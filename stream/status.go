package stream

import (
	"log/slog"
	"sync"

	"github.com/penstock-ml/penstock/pipeline"
)

// SourceStatus is a reading of one source.
type SourceStatus struct {
	Name       string
	Kind       string // kafka or file
	Waiting    string // why the whole source waits; empty: it does not
	Done       bool   // a file source that is read to its end
	Partitions []PartitionStatus
}

// PartitionStatus is a reading of one partition.
type PartitionStatus struct {
	Partition int32
	File      string // of a file source
	Next      int64  // next to hand over
	End       int64  // end of what can be read; -1: not known
	Lag       int64  // End - Next, in records and markers; -1: not known
	Waiting   string // why it waits; empty: it reads, or is at its end
	Done      bool   // a file read to its end
}

// Status reads how far every source is. Safe for concurrent use.
func (r *Runner) Status() []SourceStatus {
	out := make([]SourceStatus, len(r.sources))
	for i, s := range r.sources {
		out[i] = s.read()
	}
	return out
}

// Lag is the sum of all known lags, in records, and whether every partition's is known.
func (r *Runner) Lag() (records int64, known bool) {
	known = true
	for _, s := range r.Status() {
		if len(s.Partitions) == 0 && !s.Done {
			known = false
		}
		for _, p := range s.Partitions {
			if p.Lag < 0 {
				known = false
				continue
			}
			records += p.Lag
		}
	}
	return records, known
}

// sourceStatus keeps what Status reads, and says in the log what changes: each reason once.
type sourceStatus struct {
	log  *slog.Logger
	mu   sync.Mutex
	st   SourceStatus
	told map[string]int // reason → partitions that wait for it
}

func newSourceStatus(src *pipeline.Source, log *slog.Logger) *sourceStatus {
	s := &sourceStatus{log: log.With("source", src.Name), told: map[string]int{}}
	s.st.Name, s.st.Kind = src.Name, "kafka"
	if src.File != nil {
		s.st.Kind = "file"
	}
	return s
}

func (s *sourceStatus) read() SourceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.st
	out.Partitions = append([]PartitionStatus(nil), s.st.Partitions...)
	return out
}

// wait sets why the whole source waits; empty: it goes on. Each change is said once.
func (s *sourceStatus) wait(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.say(s.st.Waiting, why)
	s.st.Waiting = why
}

// say logs a change of reason; partitions that wait for the same thing say it together.
func (s *sourceStatus) say(before, now string) {
	if before == now {
		return
	}
	if before != "" {
		if s.told[before]--; s.told[before] == 0 {
			delete(s.told, before)
			if now == "" {
				s.log.Info("reading again", "waited_for", before)
			}
		}
	}
	if now != "" {
		if s.told[now]++; s.told[now] == 1 {
			s.log.Warn("waiting: " + now)
		}
	}
}

func (s *sourceStatus) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.Done = true
}

// partition returns the updater of one partition.
func (s *sourceStatus) partition(n int32, file string) *partitionStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.st.Partitions {
		if s.st.Partitions[i].Partition == n {
			return &partitionStatus{s: s, i: i}
		}
	}
	s.st.Partitions = append(s.st.Partitions, PartitionStatus{Partition: n, File: file, End: -1, Lag: -1})
	return &partitionStatus{s: s, i: len(s.st.Partitions) - 1}
}

// partitionStatus updates one partition's reading.
type partitionStatus struct {
	s *sourceStatus
	i int
}

// at sets the position; end is -1 if it is not known.
func (p *partitionStatus) at(next, end int64) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	st := &p.s.st.Partitions[p.i]
	st.Next, st.End, st.Lag = next, end, -1
	if end >= 0 {
		st.Lag = max(end-next, 0)
	}
}

func (p *partitionStatus) wait(why string) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	st := &p.s.st.Partitions[p.i]
	p.s.say(st.Waiting, why)
	st.Waiting = why
}

func (p *partitionStatus) done() {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.st.Partitions[p.i].Done = true
}
