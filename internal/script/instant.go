package script

import (
	"regexp"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// timeOfDay is an instant on the day of zero, in UTC.
var timeOfDay = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?$`)

// short reads an instant that is relative to zero: +1h30m, -5m, or a time of day like 10:00:00.000001.
func (l *loader) short(text string) (event.Time, bool) {
	if !l.hasZero || text == "" {
		return 0, false
	}
	if text[0] == '+' || text[0] == '-' {
		d, err := event.ParseDuration(text[1:])
		if err != nil {
			return 0, false
		}
		if text[0] == '-' {
			d = -d
		}
		return l.zero.Add(d), true
	}
	if !timeOfDay.MatchString(text) {
		return 0, false
	}
	if strings.Count(text, ":") == 1 {
		text += ":00"
	}
	t, err := time.Parse("15:04:05", text) // fractions are read too
	if err != nil {
		return 0, false
	}
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	year, month, day := l.zero.Go().Date()
	return event.FromGo(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Add(t.Sub(midnight))), true
}

// instant reads an instant: RFC 3339 with a zone, or relative to zero.
func (l *loader) instant(n *pipeline.Node) (event.Time, bool) {
	if n.Kind == pipeline.Scalar {
		if t, ok := l.short(n.Text); ok {
			return t, true
		}
		if t, err := event.ParseTime(n.Text); err == nil {
			return t, true
		}
	}
	hint := "write RFC 3339 with a zone; with zero: INSTANT at the top of the file also +1h30m, -5m or 10:00"
	if l.hasZero {
		hint = "write RFC 3339 with a zone, +1h30m or -5m from zero, or a time of its day like 10:00:00.5"
	}
	l.fail(n, hint, "%q is not an instant", nodeText(n))
	return 0, false
}

// nodeText shows a node as its source writes it, on one line.
func nodeText(n *pipeline.Node) string {
	switch n.Kind {
	case pipeline.Nothing:
		return "null"
	case pipeline.Scalar:
		return n.Text
	case pipeline.Sequence:
		var parts []string
		for _, item := range n.Items {
			parts = append(parts, nodeText(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	var parts []string
	for _, f := range n.Fields {
		parts = append(parts, f.Key.Text+": "+nodeText(f.Value))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
