package export

import (
	"context"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Progress says how far an export is.
type Progress struct {
	Rows    int64         // answered so far
	Total   int64         // to be answered, as far as is known: of text an estimate; 0: not known
	Elapsed time.Duration // since it began
}

// Rate is the rows answered a second.
func (p Progress) Rate() float64 {
	if p.Elapsed <= 0 {
		return 0
	}
	return float64(p.Rows) / p.Elapsed.Seconds()
}

// Left is about how long the rest takes; ok is false as long as nothing is known of it.
func (p Progress) Left() (d time.Duration, ok bool) {
	rate := p.Rate()
	if p.Total <= 0 || rate <= 0 {
		return 0, false
	}
	return time.Duration(float64(max(p.Total-p.Rows, 0)) / rate * float64(time.Second)), true
}

// Meter is where an export tells its progress; it may be asked meanwhile. The zero value is ready for use.
type Meter struct {
	began    atomic.Int64 // nanoseconds since 1970; 0: not yet
	taken    atomic.Int64 // rows that were read
	answered atomic.Int64
	total    atomic.Int64
}

// Progress is how far the export is.
func (m *Meter) Progress() Progress {
	p := Progress{Rows: m.answered.Load(), Total: m.total.Load()}
	if began := m.began.Load(); began != 0 {
		p.Elapsed = time.Since(time.Unix(0, began))
	}
	return p
}

// begin, read and answer are called by the export; m may be nil.
func (m *Meter) begin() {
	if m != nil {
		m.began.Store(time.Now().UnixNano())
	}
}

func (m *Meter) answer(rows int) {
	if m != nil {
		m.answered.Add(int64(rows))
	}
}

// read notes that rows more of sp have been read, and whether that was all.
func (m *Meter) read(sp spine, rows int, all bool) {
	if m == nil {
		return
	}
	n := m.taken.Add(int64(rows))
	if part := 1.0; all || partRead(sp, &part) {
		m.total.Store(int64(float64(n) / min(part, 1)))
	}
}

// partRead tells what part of a spine has been read, if that is known and more than nothing.
func partRead(sp spine, part *float64) bool {
	switch s := sp.(type) {
	case *shaper: // it is ahead of what it gives
		if !partRead(s.spine, part) || s.seen == 0 {
			return false
		}
		*part *= float64(s.given) / float64(s.seen)
	case *csvSpine:
		*part = partOf(s.f)
	case *jsonlSpine:
		*part = partOf(s.f)
	case *avroSpine:
		*part = partOf(s.f)
	case *parquetSpine:
		*part = float64(s.row) / float64(max(s.total, 1))
	default:
		return false
	}
	return *part > 0
}

// partOf is the part of a file that is behind its position: of 0 to 1.
func partOf(f *os.File) float64 {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return float64(at) / float64(info.Size())
}

// watch calls show with the progress of m each second until stop is called.
func watch(ctx context.Context, m *Meter, show func(Progress)) (stop func()) {
	if show == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show(m.Progress())
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
