package feature

import (
	"sync"

	"github.com/penstock-ml/penstock/event"
)

// The limit of a view is how far its horizon has moved for good: the least watermark of its sources that a
// checkpoint has stored. A crash can take back a watermark that is only in memory, and the horizon with it, so
// whoever deletes what lies before the horizon must go by the limit. It stands still while a cut is made, which
// reads the horizon first and takes its snapshot later.

// limits guards the limits of all views.
type limits struct {
	mu    sync.Mutex
	holds int // cuts that are being made
}

// holdLimits keeps limits where they are until releaseLimits.
func (s *Store) holdLimits() {
	s.limits.mu.Lock()
	s.limits.holds++
	s.limits.mu.Unlock()
}

// releaseLimits ends a hold; the last one lets limits move on to what is durable by then.
func (s *Store) releaseLimits() {
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	s.limits.holds--
	s.moveLimits()
}

// raiseLimits notes that the smallest watermark of a source is stored.
func (s *Store) raiseLimits(src *source, minWM event.Time) {
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	src.storedWM = max(src.storedWM, minWM)
	s.moveLimits()
}

// moveLimits needs limits.mu.
func (s *Store) moveLimits() {
	if s.limits.holds > 0 {
		return
	}
	for _, v := range s.views {
		storeMax(&v.limit, int64(v.watermark(func(src *source) event.Time { return src.storedWM })))
	}
}
