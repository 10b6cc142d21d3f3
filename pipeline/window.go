package pipeline

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/transforms/window"
	"github.com/penstock-ml/penstock/transforms/zone"
)

// windowKinds are the keys of which a window's mapping has exactly one, with the keys that may stand
// beside each.
var windowKinds = []struct {
	key    string
	beside []string
}{
	{"tumbling", []string{"current"}},
	{"hopping", []string{"every"}},
	{"session", []string{"closed"}},
	{"calendar", []string{"zone", "current"}},
	{"from", []string{"to"}},
	{"last", nil},
}

// windowHints say where a key of a window belongs, and what to write if another lacks it.
var windowHints = map[string]string{
	"every":   "every belongs to hopping, like {hopping: 1h, every: 10m}",
	"closed":  "closed belongs to session, like {session: 30m, closed: true}",
	"zone":    "zone belongs to calendar, like {calendar: day, zone: America/New_York}",
	"current": "current belongs to tumbling and calendar, whose windows are complete without it",
	"to":      "to belongs to from, like {from: 7d, to: 1d}",
}

// windowOf reads what stands as a window; false if it is wrong, which is reported then.
func (c *compiler) windowOf(n *node, in string) (window.Spec, bool) {
	if n == nil || n.bad {
		return window.Spec{}, false
	}
	if n.kind == scalarNode {
		if n.text == "lifetime" {
			return window.Spec{Kind: window.Lifetime}, true
		}
		size := durationOr(n, 0)
		return window.Spec{Kind: window.Rolling, Size: size}, size > 0
	}
	if n.kind != mappingNode || len(n.fields) == 0 {
		return window.Spec{}, false
	}
	for _, f := range n.fields {
		if f.key.bad || f.value.bad {
			return window.Spec{}, false
		}
	}
	for _, k := range windowKinds {
		if n.has(k.key) {
			ok := c.checkBeside(n, k.key, k.beside, in)
			w, read := c.readWindow(n, k.key, in)
			return w, read && ok
		}
	}
	return window.Spec{}, false
}

// checkBeside reports keys that mean nothing in a window of this kind.
func (c *compiler) checkBeside(n *node, kind string, beside []string, in string) bool {
	ok := true
next:
	for _, f := range n.fields {
		for _, name := range append(beside, kind) {
			if f.key.text == name {
				continue next
			}
		}
		c.fail(f.key, windowHints[f.key.text], "%s: window: %s means nothing beside %s", in, f.key.text, kind)
		ok = false
	}
	return ok
}

// readWindow reads a mapping that has a key of windowKinds.
func (c *compiler) readWindow(n *node, kind, in string) (window.Spec, bool) {
	size := durationOr(n.get(kind), 0)
	is := func(key string) bool { v := n.get(key); return v != nil && v.text == "true" }
	switch kind {
	case "tumbling":
		return window.Spec{Kind: window.Tumbling, Size: size, Current: is("current")}, true
	case "session":
		return window.Spec{Kind: window.Session, Size: size, Closed: is("closed")}, true
	case "hopping":
		every := n.get("every")
		if every == nil {
			c.failAt(n.span, fmt.Sprintf("say how far apart the windows begin, like {hopping: %s, every: %s}", size, hopOf(size)), "%s: window has no every", in)
			return window.Spec{}, false
		}
		w := window.Spec{Kind: window.Hopping, Size: size, Every: durationOr(every, 0)}
		if w.Every > size {
			c.fail(every, "events between two windows would never count; hop at most "+size.String(),
				"%s: window: every %s is longer than hopping %s", in, w.Every, size)
			return window.Spec{}, false
		}
		return w, true
	case "calendar":
		return c.readCalendar(n, is("current"))
	case "last":
		w, ok := c.readLast(n.get("last"), in)
		return w, ok
	}
	return c.readOffset(n, size, in)
}

// hopOf is a hop for the hint of a hopping window without one.
func hopOf(size event.Duration) event.Duration {
	if every := size / 6; every > 0 && size%6 == 0 {
		return every
	}
	return size
}

func (c *compiler) readCalendar(n *node, current bool) (window.Spec, bool) {
	w := window.Spec{Kind: window.Calendar, Current: current, Zone: zoneOf(n.get("zone"))}
	w.Unit = window.Unit(1 + slices.Index(calendarUnits, strings.ToLower(n.get("calendar").text)))
	return w, w.Unit != 0 && w.Zone != nil
}

func (c *compiler) readOffset(n *node, from event.Duration, in string) (window.Spec, bool) {
	to := n.get("to")
	if to == nil {
		c.failAt(n.span, "for all up to the instant asked for write window: "+n.get("from").text, "%s: window has no to", in)
		return window.Spec{}, false
	}
	w := window.Spec{Kind: window.Offset, From: from, To: durationOr(to, 0)}
	if w.From <= w.To {
		hint := "from is the far end, like {from: 7d, to: 1d}"
		if w.From < w.To {
			hint = fmt.Sprintf("from is the far end: {from: %s, to: %s}", to.text, n.get("from").text)
		}
		c.fail(to, hint, "%s: window: from %s to %s holds nothing", in, w.From, w.To)
		return window.Spec{}, false
	}
	return w, true
}

// readLast reads how many rows a window of the latest rows takes.
func (c *compiler) readLast(n *node, in string) (window.Spec, bool) {
	if n == nil || n.bad || n.kind != scalarNode {
		return window.Spec{}, false
	}
	count, err := strconv.Atoi(n.text)
	switch {
	case err != nil || count < 1:
		c.fail(n, "beside another aggregate, last is a window: how many rows, like last: 10", "%s: last %q is not a number of rows", in, n.shown())
		return window.Spec{}, false
	case count > maxLast:
		c.fail(n, "", "%s: last %d is more than %d rows", in, count, maxLast)
		return window.Spec{}, false
	}
	return window.Spec{Kind: window.LastN, N: count}, true
}

// checkZone reports a name that no time zone has.
func (c *compiler) checkZone(n *node, at string) {
	if _, err := zone.Load(n.text); err == nil {
		return
	}
	hint := "zones are named like America/New_York, or UTC"
	if near := nearestZone(n.text); near != "" {
		hint = "did you mean " + near + "?"
	}
	c.fail(n, hint, "%s %q is not a time zone", at, n.shown())
}

// nearestZone finds the zone that was meant, by its name or by its city alone.
func nearestZone(text string) string {
	if near := diag.Nearest(text, zone.Names()); near != "" {
		return near
	}
	city := strings.ReplaceAll(text, " ", "_")
	for _, name := range zone.Names() {
		if i := strings.LastIndexByte(name, '/'); i >= 0 && strings.EqualFold(name[i+1:], city) {
			return name
		}
	}
	return ""
}

// windowSuffix is what a window adds to a made name: the kind of window and its durations as they are
// written.
func windowSuffix(n *node, w window.Spec) string {
	suffix := ""
	written := func(key string) string { return "_" + key + "_" + n.get(key).text }
	switch w.Kind {
	case window.Rolling:
		return "_" + n.text
	case window.Tumbling:
		suffix = written("tumbling")
	case window.Hopping:
		suffix = written("hopping") + written("every")
	case window.Session:
		suffix = written("session")
	case window.Calendar:
		suffix = "_" + w.Unit.String()
		if w.Zone.String() != "UTC" {
			suffix += "_" + zoneSuffix(w.Zone.String())
		}
	case window.Offset:
		suffix = written("from") + written("to")
	case window.LastN:
		suffix = "_last_" + strconv.Itoa(w.N)
	}
	if w.Current {
		suffix += "_current"
	}
	if w.Closed {
		suffix += "_closed"
	}
	return suffix
}

// zoneSuffix makes a zone's name part of a feature's: no two zones give the same.
func zoneSuffix(name string) string {
	name = strings.ReplaceAll(name, "+", "plus")
	var b strings.Builder
	for i, r := range name {
		switch {
		case r == '-' && i+1 < len(name) && name[i+1] >= '0' && name[i+1] <= '9':
			b.WriteString("minus")
		case r == '/' || r == '-':
			b.WriteByte('_')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// windowDoc says which rows a window covers, for a feature's description.
func windowDoc(w window.Spec) string {
	switch w.Kind {
	case window.Rolling:
		return "over the " + inDays(w.Size) + " before"
	case window.LastN:
		return fmt.Sprintf("over the last %d events before", w.N)
	case window.Tumbling:
		if w.Current {
			return "over the current tumbling " + inDays(w.Size) + " so far"
		}
		return "over the last complete tumbling " + inDays(w.Size)
	case window.Hopping:
		return "over the last complete " + inDays(w.Size) + " of those that end every " + inDays(w.Every)
	case window.Session:
		if w.Closed {
			return "over the last closed session, gap " + inDays(w.Size)
		}
		return "over the session of the last event before, gap " + inDays(w.Size)
	case window.Calendar:
		if w.Current {
			return "over the current " + w.Unit.String() + " in " + w.Zone.String() + " so far"
		}
		return "over the last complete " + w.Unit.String() + " in " + w.Zone.String()
	case window.Offset:
		return "from " + inDays(w.From) + " to " + inDays(w.To) + " before"
	}
	return "over all before"
}

// inDays writes a duration for people: 30d rather than 4w2d.
func inDays(d event.Duration) string {
	if d < event.Day || d%event.Week == 0 {
		return d.String()
	}
	text := strconv.FormatInt(int64(d/event.Day), 10) + "d"
	if rest := d % event.Day; rest > 0 {
		text += rest.String()
	}
	return text
}

// zoneOf opens the zone that a checked node names, UTC without one; nil if there is none.
func zoneOf(n *node) *time.Location {
	if n == nil {
		return time.UTC
	}
	l, err := zone.Load(n.text)
	if err != nil {
		return nil
	}
	return l
}
