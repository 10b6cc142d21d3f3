package proof

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/transforms/agg"
)

// Pair is an aggregate over a kind of window.
type Pair struct {
	Aggregate, Window string
	By                bool // a map by a column
}

// String tells pairs apart, `by` aside.
func (p Pair) String() string { return p.Aggregate + " over the window " + p.Window }

// Windows are the kinds of windows, each a way to write it.
var Windows = []string{
	"rolling", "tumbling", "tumbling current", "hopping", "session", "session closed", "lifetime", "last", "offset",
	"day", "day current", "week", "week current", "month", "month current",
}

// Pairs lists all pairs that the grammar knows, in an order that a seed decides. Every fourth window of each
// aggregate is one with a map: in four decks all are.
func Pairs(seed uint64) (out []Pair) {
	for i, name := range agg.Names() {
		for j, w := range Windows {
			if !refused(name, w) {
				out = append(out, Pair{name, w, (uint64(i+j)+seed)%4 == 0})
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

// long tells which windows reach back for weeks, however they are written.
func (p Pair) long() bool {
	return strings.HasPrefix(p.Window, "week") || strings.HasPrefix(p.Window, "month")
}

// bounded tells which windows reach back no further than they say.
func (p Pair) bounded() bool {
	return !slices.Contains([]string{"lifetime", "last", "session", "session closed"}, p.Window)
}

// window writes a random window of the pair's kind, behind an aggregate; a brief one reaches back for hours.
func (p Pair) window(rng *rand.Rand, brief bool) string {
	spans := []string{"1s", "5m", "1h", "7h30m", "1d", "9d", "30d"}
	hops := []string{"1h, every: 10m", "1m, every: 1m", "1d, every: 7h", "9d, every: 1d"}
	offsets := []string{"1h, to: 1m", "2h, to: 1us", "7d, to: 1d", "30d, to: 29d"}
	if brief {
		spans, hops, offsets = spans[:4], hops[:2], offsets[:2]
	}
	span := pick(rng, spans)
	zone := func() string {
		return pick(rng, []string{"", ", zone: America/New_York", ", zone: Africa/Cairo", ", zone: Asia/Kolkata", ", zone: Pacific/Apia"})
	}
	switch p.Window {
	case "rolling":
		return ", window: " + span
	case "tumbling":
		return ", window: {tumbling: " + span + "}"
	case "tumbling current":
		return ", window: {tumbling: " + span + ", current: true}"
	case "hopping":
		return ", window: {hopping: " + pick(rng, hops) + "}"
	case "session":
		return ", window: {session: " + span + "}"
	case "session closed":
		return ", window: {session: " + span + ", closed: true}"
	case "lifetime":
		return ""
	case "last":
		return ", window: {last: " + pick(rng, []string{"1", "2", "10", "50", "1000"}) + "}"
	case "offset":
		return ", window: {from: " + pick(rng, offsets) + "}"
	case "day", "week", "month":
		return ", window: {calendar: " + p.Window + zone() + "}"
	case "day current", "week current", "month current":
		return ", window: {calendar: " + p.Window[:len(p.Window)-len(" current")] + zone() + ", current: true}"
	}
	panic("no window " + p.Window)
}
