package proof

import (
	"context"
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
)

// held is a cut that stays open while the run goes on, and what is to be read from it.
type held struct {
	cut   *feature.Cut
	whole *oracle.Whole
}

// hold makes a cut to be asked later, or asks the one that is held: whatever was counted, flushed and swept
// since, it answers as of then.
func (s *Sim) hold(ctx context.Context) error {
	if h := s.held; h != nil {
		s.held = nil
		defer h.cut.Close()
		for _, x := range h.whole.Views {
			if err := check(ctx, s.store, h.cut.NewReader(), h.whole, x, Questions(s.rng, x, 2)); err != nil {
				return fmt.Errorf("a cut made earlier: %w", err)
			}
		}
		s.say("asked a cut made earlier")
		return nil
	}
	for _, l := range s.logs {
		if l.next < l.behind { // not ready to be asked
			return nil
		}
	}
	if len(s.lost) > 0 {
		return nil
	}
	cut, err := s.store.Cut(ctx)
	if err != nil {
		return err
	}
	s.held = &held{cut, s.whole(s.known())}
	s.say("made a cut")
	return nil
}

// letGo closes the cut that is held.
func (s *Sim) letGo() {
	if s.held != nil {
		s.held.cut.Close()
		s.held = nil
	}
}

// whole is what the oracle makes of records, with the horizons of the store: partitions leave by the clock, so
// what is asked of them is only that they do not move back.
func (s *Sim) whole(records []oracle.Record) *oracle.Whole {
	w := oracle.IngestAll(s.plan, records)
	for _, v := range s.store.Stats().Views {
		w.View(v.Name).Horizon = v.Horizon
	}
	return w
}

// note says whether questions were about what is at the edge of history.
func (s *Sim) note(x *oracle.WholeView, ask []Question) {
	for _, q := range ask {
		switch d := q.AsOf.Sub(x.Horizon); {
		case d < 0:
			s.say("asked before the horizon")
		case d < event.Minute:
			s.say("asked at the horizon")
		}
	}
}
