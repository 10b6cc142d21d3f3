package main

import (
	"math/big"
	"slices"
	"time"

	"github.com/penstock-ml/penstock/bench/workload"
)

// label is a row of the spine.
type label struct {
	user uint32
	at   time.Time
}

// paid is what the oracle keeps of an event, in the order of the log.
type paid struct {
	at      time.Time
	amount  float64
	country string
}

// history collects the events of some users.
func history(o workload.Options, users map[uint32]bool) map[uint32][]paid {
	out := map[uint32][]paid{}
	for e := range workload.Events(o) {
		if users[e.User] {
			out[e.User] = append(out[e.User], paid{e.Time, e.Amount, e.Country})
		}
	}
	return out
}

// naive answers the features of bench/pipeline.yaml by going through all events of a user: what the
// export must say, by feature name. Nil is null.
func naive(events []paid, at time.Time) map[string]any {
	var last *paid
	n := int64(0)
	for i := range events {
		e := &events[i]
		if !e.at.Before(at) {
			continue
		}
		n++
		if last == nil || !e.at.Before(last.at) { // of equal times, the later in the log
			last = e
		}
	}
	out := map[string]any{"transactions": n, "last_country": nil}
	if last != nil {
		out["last_country"] = last.country
	}
	for name, size := range map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour} {
		var in []float64
		for _, e := range events {
			if e.at.Before(at) && !e.at.Before(at.Add(-size)) {
				in = append(in, e.amount)
			}
		}
		aggregates(out, name, in)
	}
	return out
}

// aggregates answers one window: sums are exact and rounded once.
func aggregates(out map[string]any, window string, in []float64) {
	out["amount_count_"+window] = int64(len(in))
	for _, f := range []string{"sum", "avg", "min", "max"} {
		out["amount_"+f+"_"+window] = nil
	}
	if len(in) == 0 {
		return
	}
	exact, next := new(big.Float).SetPrec(1024), new(big.Float)
	for _, x := range in {
		if exact.Add(exact, next.SetFloat64(x)); exact.Acc() != big.Exact {
			panic("oracle: a sum needs more than 1024 bits")
		}
	}
	sum, _ := exact.Rat(nil)
	out["amount_sum_"+window], _ = sum.Float64()
	out["amount_avg_"+window], _ = sum.Quo(sum, big.NewRat(int64(len(in)), 1)).Float64()
	out["amount_min_"+window], out["amount_max_"+window] = slices.Min(in), slices.Max(in)
}
