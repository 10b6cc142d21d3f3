package proof

import (
	"math/rand/v2"
	"slices"

	"github.com/penstock-ml/penstock/transforms/agg"
)

// Pair is an aggregate over a kind of window.
type Pair struct{ Aggregate, Window string }

// Windows are the kinds of windows, each a way to write it.
var Windows = []string{
	"rolling", "tumbling", "tumbling current", "hopping", "session", "session closed", "lifetime", "last", "offset",
	"day", "day current", "week", "week current", "month", "month current",
}

// Pairs lists all pairs that the grammar knows, in an order that a seed decides.
func Pairs(seed uint64) (out []Pair) {
	for _, name := range agg.Names() {
		for _, w := range Windows {
			if !refused(name, w) {
				out = append(out, Pair{name, w})
			}
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// refused tells which pairs have no meaning: a rate needs a window with a length.
func refused(aggregate, window string) bool {
	return aggregate == "rate" && slices.Contains([]string{"lifetime", "last", "session", "session closed"}, window)
}

// window writes a random window of the pair's kind, behind an aggregate.
func (p Pair) window(rng *rand.Rand) string {
	span := func() string { return pick(rng, []string{"1s", "5m", "1h", "7h30m", "1d", "9d", "30d"}) }
	zone := func() string {
		return pick(rng, []string{"", ", zone: America/New_York", ", zone: Africa/Cairo", ", zone: Asia/Kolkata", ", zone: Pacific/Apia"})
	}
	switch p.Window {
	case "rolling":
		return ", window: " + span()
	case "tumbling":
		return ", window: {tumbling: " + span() + "}"
	case "tumbling current":
		return ", window: {tumbling: " + span() + ", current: true}"
	case "hopping":
		return ", window: {hopping: " + pick(rng, []string{"1h, every: 10m", "1d, every: 7h", "9d, every: 1d", "1m, every: 1m"}) + "}"
	case "session":
		return ", window: {session: " + span() + "}"
	case "session closed":
		return ", window: {session: " + span() + ", closed: true}"
	case "lifetime":
		return ""
	case "last":
		return ", window: {last: " + pick(rng, []string{"1", "2", "10", "50", "1000"}) + "}"
	case "offset":
		return ", window: {from: " + pick(rng, []string{"7d, to: 1d", "1h, to: 1m", "30d, to: 29d", "2h, to: 1us"}) + "}"
	case "day", "week", "month":
		return ", window: {calendar: " + p.Window + zone() + "}"
	case "day current", "week current", "month current":
		return ", window: {calendar: " + p.Window[:len(p.Window)-len(" current")] + zone() + ", current: true}"
	}
	panic("no window " + p.Window)
}
