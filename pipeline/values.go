package pipeline

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
)

// maxSpan bounds durations: what is longer is a mistake, and sums of two cannot overflow.
const maxSpan = 1000 * 366 * event.Day

// maxLast bounds `last: N`: so many rows are read for one answer.
const maxLast = 100_000

const durationHint = "the units are us, ms, s, m, h, d and w"

// describe names a format in messages.
func (f format) describe(values []string) string {
	switch f {
	case exprText:
		return "an expression"
	case aggText:
		return "a column or an expression"
	case durationText, spanText, windowText:
		return "a duration like 1h"
	case sizeText:
		return "a size like 256MiB"
	case boolText:
		return "true or false"
	case enumText:
		return "one of " + strings.Join(values, ", ")
	case columnTypeText:
		return "a type"
	case nameText, refText, pipelineText:
		return "a name"
	case dottedText:
		return "view.feature"
	case secretScalar:
		return `"${VAR}"`
	case lastText:
		return "a column or a number"
	case zoneText:
		return "a time zone"
	case intText:
		return "a whole number"
	case numberText:
		return "a number"
	case instantText:
		return "an instant or a date"
	case shareText:
		return "a share like 10%"
	case splitShareText:
		return "a share like 10%, or rest"
	}
	return "a text"
}

// checkScalar reports a scalar that is not of its format.
func (c *compiler) checkScalar(n *node, s *shape, in, name string) {
	at := where(in, name)
	if n.text == "" && s.format != literalText {
		c.fail(n, "", "%s is an empty text", at)
		return
	}
	switch s.format {
	case nameText:
		c.checkName(n, name)
	case pipelineText:
		if !pipelineName.MatchString(n.text) {
			c.fail(n, "letters, digits, _, - and . make a pipeline's name, and it begins with a letter or digit", "%s %q is not a name", at, n.shown())
		}
	case dottedText:
		if view, feature, ok := strings.Cut(n.text, "."); !ok || !isName(view) || !isName(feature) {
			hint := "write view.feature, or {name: …, expr: …}"
			if c.future[n.text] {
				hint = labelHint(n.text)
			}
			c.fail(n, hint, "%s %q is not a view's feature", at, n.shown())
		}
	case durationText, spanText, windowText:
		c.checkDuration(n, s.format, in, name)
	case sizeText:
		if _, err := parseSize(n.text); err != nil {
			hint := sizeHint(n.text)
			if errors.Is(err, errZero) {
				hint = ""
			}
			c.fail(n, hint, "%s %q %v", at, n.shown(), err)
		}
	case startText:
		if _, err := parseStart(n.text); err != nil {
			hint := "write earliest, latest, or an instant like 2013-01-05T10:00:00Z"
			if near := diag.Nearest(n.text, []string{"earliest", "latest"}); near != "" {
				hint = "did you mean " + near + "?"
			}
			c.fail(n, hint, "%s %q is not a place to start", at, n.shown())
		}
	case boolText:
		if n.text != "true" && n.text != "false" {
			c.fail(n, "write true or false", "%s %q is not true or false", at, n.shown())
		}
	case enumText:
		if !slices.Contains(s.enum, strings.ToLower(n.text)) {
			c.fail(n, suggest(n.text, s.enum), "%s %q is not known", at, n.shown())
		}
	case columnTypeText:
		if !slices.Contains(s.enum, n.text) {
			c.fail(n, suggest(n.text, s.enum), "%s: type %q is not known", at, n.shown())
		}
	case zoneText:
		c.checkZone(n, at)
	case intText:
		if _, err := strconv.Atoi(n.text); err != nil {
			c.fail(n, "", "%s %q is not a whole number", at, n.shown())
		}
	case numberText:
		if _, ok := parseNumber(n.text); !ok {
			c.fail(n, "", "%s %q is not a number", at, n.shown())
		}
	case instantText:
		if _, _, err := parseInstant(n.text); err != nil {
			c.fail(n, "write an instant like 2013-01-05T10:00:00Z, or a date like 2013-01-05", "%s %q is neither an instant nor a date", at, n.shown())
		}
	case shareText, splitShareText:
		c.checkShare(n, s.format, at)
	case urlText:
		c.checkURL(n, at)
	case secretScalar:
		c.secrets = append(c.secrets, secretSpan{n.span, n.extra})
		if !strings.Contains(n.raw, "${") {
			c.fail(n, `write "${VAR}" to take it from the environment, or {file: PATH}`, "%s is written out in the file", at)
		}
	case brokerText:
		for _, b := range strings.Split(n.text, ",") {
			if host, port, err := net.SplitHostPort(strings.TrimSpace(b)); err != nil || host == "" || !isPort(port) {
				c.fail(n, "write host:port, like localhost:9092", "%s %q is not an address", at, n.shown())
				return
			}
		}
	}
}

var pipelineName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$`)

// suggest is a hint from a short list of values.
func suggest(text string, values []string) string {
	if near := diag.Nearest(text, values); near != "" {
		return "did you mean " + near + "?"
	}
	return "write one of " + strings.Join(values, ", ")
}

func isPort(s string) bool {
	p, err := strconv.Atoi(s)
	return err == nil && p > 0 && p < 1<<16
}

func (c *compiler) checkURL(n *node, at string) {
	u, err := url.Parse(n.text)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		c.fail(n, "write it like http://localhost:8081", "%s %q is not an address", at, mask(n.shown()))
	case u.User != nil:
		c.secrets = append(c.secrets, secretSpan{n.span, 0})
		c.fail(n, `write username: and password: beside it, the password as "${VAR}" or {file: PATH}`, "%s holds credentials", at)
	}
}

func (c *compiler) checkDuration(n *node, f format, in, name string) {
	if f == windowText && n.text == "lifetime" {
		return
	}
	subject := name
	if in != "" {
		subject = in + ": " + name
	}
	d, err := event.ParseDuration(n.text)
	switch {
	case err != nil && plainDuration.MatchString(n.text):
		c.fail(n, "", "%s %q is longer than 1000 years", subject, n.shown())
	case err != nil:
		hint := durationGuess(n.text)
		if strings.HasPrefix(n.text, "-") && numberUnit.MatchString(n.text[1:]) {
			hint = "write it without the sign"
			if f == windowText || slices.Contains([]string{"from", "to"}, name) {
				hint = aheadHint
			}
		}
		if f == windowText && slices.Contains(calendarUnits, strings.ToLower(n.text)) {
			hint = fmt.Sprintf("write {calendar: %s}, or a duration like 1d", strings.ToLower(n.text))
		}
		c.fail(n, hint, "%s %q is not a duration", subject, n.shown())
	case d == 0 && f != durationText:
		hint := "write a duration above zero, like 1h"
		switch {
		case f == windowText:
			hint = "write a duration above zero, or lifetime for all that was before"
		case name == "session":
			hint = "events further apart than the gap are two sessions: write how far, like 30m"
		case name == "to":
			hint = "for all up to the instant asked for write a duration alone, like window: 7d"
		}
		c.fail(n, hint, "%s %q is zero", subject, n.shown())
	case d > maxSpan:
		c.fail(n, "", "%s %q is longer than 1000 years", subject, n.shown())
	}
}

// plainDuration matches durations, those too that are too long to be read.
var plainDuration = regexp.MustCompile(`^([0-9]+(us|ms|s|m|h|d|w))+$`)

var numberUnit = regexp.MustCompile(`^\s*([0-9]+)(\.[0-9]+)?\s*([A-Za-zµ]*)\s*$`)

// unitWords are what people write for units, by the unit that is meant.
var unitWords = []struct {
	unit  string
	words []string
}{
	{"us", []string{"us", "µs", "usec", "usecs", "micro", "micros", "microsecond", "microseconds"}},
	{"ms", []string{"ms", "msec", "msecs", "milli", "millis", "millisecond", "milliseconds"}},
	{"s", []string{"s", "sec", "secs", "second", "seconds", ""}},
	{"m", []string{"m", "min", "mins", "minute", "minutes"}},
	{"h", []string{"h", "hr", "hrs", "hour", "hours"}},
	{"d", []string{"d", "day", "days"}},
	{"w", []string{"w", "wk", "wks", "week", "weeks"}},
	{"30d", []string{"mo", "mon", "month", "months"}},
	{"365d", []string{"y", "yr", "yrs", "year", "years"}},
}

// durationGuess is a hint with the duration that was likely meant.
func durationGuess(s string) string {
	m := numberUnit.FindStringSubmatch(s)
	if m == nil {
		return "write a number and a unit, like 1h; " + durationHint
	}
	for _, u := range unitWords {
		if !slices.Contains(u.words, strings.ToLower(m[3])) {
			continue
		}
		unit, _ := event.ParseDuration("1" + u.unit)
		if len(u.unit) > 2 {
			unit, _ = event.ParseDuration(u.unit)
		}
		n, err := strconv.ParseFloat(m[1]+m[2], 64)
		if us := n * float64(unit); err == nil && us <= float64(maxSpan) && us == math.Trunc(us) {
			text := m[1] + u.unit
			switch {
			case m[2] != "":
				text = event.Duration(us).String()
			case len(u.unit) > 2:
				text = strconv.FormatInt(int64(us)/int64(event.Day), 10) + "d"
			}
			return "write " + text + "; " + durationHint
		}
	}
	return "write a number and a unit, like 1h; " + durationHint
}

// parseNumber reads a finite number.
func parseNumber(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && f-f == 0 && !strings.ContainsAny(s, "xX_")
}

var sizeUnits = map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

var errZero = errors.New("is zero")

// parseSize reads a size like 256MiB.
func parseSize(s string) (int64, error) {
	for unit, factor := range sizeUnits {
		digits, ok := strings.CutSuffix(s, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		switch {
		case err != nil || digits[0] == '+':
		case n == 0:
			return 0, errZero
		case int64(n) > math.MaxInt64/factor:
			return 0, errors.New("is too large")
		default:
			return int64(n) * factor, nil
		}
	}
	return 0, errors.New("is not a size")
}

// sizeHint is a hint with the size that was likely meant.
func sizeHint(s string) string {
	const units = "the units are KiB, MiB and GiB"
	if m := numberUnit.FindStringSubmatch(s); m != nil && m[2] == "" && m[3] != "" {
		for _, unit := range []string{"KiB", "MiB", "GiB"} {
			if strings.EqualFold(m[3][:1], unit[:1]) {
				return "write " + m[1] + unit + "; " + units
			}
		}
	}
	return "write a whole number and a unit, like 256MiB; " + units
}

// parseStart reads where a new partition starts.
func parseStart(s string) (Start, error) {
	switch s {
	case "earliest":
		return Start{At: event.MinTime}, nil
	case "latest":
		return Start{Latest: true, At: event.MinTime}, nil
	}
	t, err := event.ParseTime(s)
	return Start{At: t}, err
}

// parseInstant reads an instant, or a date: then the instant is its midnight in UTC.
func parseInstant(s string) (t event.Time, date bool, err error) {
	if d, err := time.Parse(time.DateOnly, s); err == nil {
		return event.FromGo(d), true, nil
	}
	t, err = event.ParseTime(s)
	return t, false, err
}

// shareBuckets is how finely a share can be given.
const shareBuckets = 1_000_000

// parseShare reads 10% or 0.1 as buckets of a million; ok is false if it is none of 1 to a million.
func parseShare(s string) (buckets int64, ok bool) {
	number, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	share, ok := parseNumber(strings.TrimSpace(number))
	if percent {
		share /= 100
	}
	buckets = int64(math.Round(min(max(share, 0), 2) * shareBuckets))
	return buckets, ok && share > 0 && share <= 1 && buckets >= 1
}

// checkShare reports what is no share.
func (c *compiler) checkShare(n *node, f format, at string) {
	if f == splitShareText && n.text == "rest" {
		return
	}
	if _, ok := parseShare(n.text); !ok {
		hint := "write a share like 10% or 0.1; the least is 0.0001%"
		if f == splitShareText {
			hint += "; rest is all that is left"
		}
		c.fail(n, hint, "%s %q is not a share", at, n.shown())
	}
}
