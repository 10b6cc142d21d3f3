// Package event is the vocabulary that every other package shares: instants, typed values,
// positions. It imports the standard library only, and knows nothing of windows, stores or wires.
package event

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Time is an instant in microseconds since 1970-01-01T00:00:00Z; nanoseconds are floored.
type Time int64

// The least and greatest instants: sentinels for "no bound".
const (
	MinTime = Time(-1 << 63)
	MaxTime = Time(1<<63 - 1)
)

// Duration is a span in microseconds.
type Duration int64

// Units of Duration.
const (
	Microsecond Duration = 1
	Millisecond          = 1000 * Microsecond
	Second               = 1000 * Millisecond
	Minute               = 60 * Second
	Hour                 = 60 * Minute
	Day                  = 24 * Hour
	Week                 = 7 * Day
)

// FromGo floors t to microseconds.
func FromGo(t time.Time) Time { return Time(t.UnixMicro()) }

// Go returns t as a time.Time in UTC.
func (t Time) Go() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Add returns t+d, saturating at MinTime and MaxTime.
func (t Time) Add(d Duration) Time {
	s := t + Time(d)
	if d > 0 && s < t {
		return MaxTime
	}
	if d < 0 && s > t {
		return MinTime
	}
	return s
}

// Sub returns t-u, saturating.
func (t Time) Sub(u Time) Duration {
	d := t - u
	if (t >= 0) != (u >= 0) && (d >= 0) != (t >= 0) {
		if t >= 0 {
			return Duration(MaxTime)
		}
		return Duration(MinTime)
	}
	return Duration(d)
}

// Layout is RFC 3339 in UTC with six digits, the form of every instant that Penstock prints.
const Layout = "2006-01-02T15:04:05.000000Z"

// String formats t by Layout.
func (t Time) String() string { return t.Go().Format(Layout) }

// Writable tells whether String writes t so that it is read again: in a year that RFC 3339 can write, 0 to 9999.
func (t Time) Writable() bool { return writable(t.Go()) }

func writable(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}

// ParseTime reads an RFC 3339 instant; a zone is required; digits beyond microseconds are floored. Its
// year in UTC must be one that RFC 3339 can write, 0 to 9999, so that what String writes is read again.
func ParseTime(s string) (Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !writable(t) {
		return 0, fmt.Errorf("%q is not an RFC 3339 instant with a zone, like 2013-01-05T10:00:00Z", s)
	}
	return FromGo(t), nil
}

// ReadTime reads an instant as ParseTime does, and as other programs write it into text files: a blank in
// place of the T, a zone as +02, +0200 or " UTC", letters of either case.
func ReadTime(s string) (Time, error) {
	const date, seconds = len("2013-01-05"), len("2013-01-05T10:00:00")
	t, err := ParseTime(s)
	if err == nil || len(s) <= seconds || s[date] != 'T' && s[date] != 't' && s[date] != ' ' {
		return t, err
	}
	rest := strings.ToUpper(s[date+1:])
	clock, utc := strings.CutSuffix(rest, " UTC")
	sign := strings.LastIndexAny(rest, "+-")
	switch {
	case utc:
		rest = clock + "Z"
	case sign < 0:
	case len(rest)-sign == len("+02"):
		rest += ":00"
	case len(rest)-sign == len("+0200"):
		rest = rest[:sign+3] + ":" + rest[sign+3:]
	}
	if t, again := ParseTime(s[:date] + "T" + rest); again == nil {
		return t, nil
	}
	return 0, err
}

// durationUnits, largest first.
var durationUnits = []struct {
	name string
	d    Duration
}{{"w", Week}, {"d", Day}, {"h", Hour}, {"m", Minute}, {"s", Second}, {"ms", Millisecond}, {"us", Microsecond}}

// String writes d in the largest units that divide it: 36h is "1d12h", 90m "1h30m".
func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	if d < 0 {
		b.WriteByte('-')
	}
	u := uint64(d)
	if d < 0 {
		u = -u
	}
	for _, x := range durationUnits {
		if n := u / uint64(x.d); n > 0 {
			fmt.Fprintf(&b, "%d%s", n, x.name)
			u %= uint64(x.d)
		}
	}
	return b.String()
}

// ParseDuration reads what String writes: one or more numbers with a unit of us, ms, s, m, h, d, w.
// Negative spans, fractions and overflow are errors.
func ParseDuration(s string) (Duration, error) {
	bad := fmt.Errorf("%q is not a duration", s)
	if s == "" {
		return 0, bad
	}
	var total Duration
	for rest := s; rest != ""; {
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		j := i
		for j < len(rest) && rest[j] >= 'a' && rest[j] <= 'z' {
			j++
		}
		n, err := strconv.ParseInt(rest[:i], 10, 64)
		if err != nil {
			return 0, bad
		}
		var unit Duration
		for _, u := range durationUnits {
			if u.name == rest[i:j] {
				unit = u.d
			}
		}
		if unit == 0 || n > int64(MaxTime)/int64(unit) || total > Duration(MaxTime)-Duration(n)*unit {
			return 0, bad
		}
		total += Duration(n) * unit
		rest = rest[j:]
	}
	return total, nil
}

// Position is the identity of a row: where it came from. Offsets count from 0 within a partition;
// for files the partition is the file's number in bytewise order of paths and the offset its row.
type Position struct {
	Source    uint16 // number of the source in the pipeline file, as declared
	Partition int32
	Offset    int64
	Index     int32 // within the record: a flattened record gives several rows
}

// Compare orders positions by source, partition, offset, index.
func (p Position) Compare(q Position) int {
	switch {
	case p.Source != q.Source:
		return cmp.Compare(p.Source, q.Source)
	case p.Partition != q.Partition:
		return cmp.Compare(p.Partition, q.Partition)
	case p.Offset != q.Offset:
		return cmp.Compare(p.Offset, q.Offset)
	}
	return cmp.Compare(p.Index, q.Index)
}

// String is "source/partition@offset".
func (p Position) String() string {
	return fmt.Sprintf("%d/%d@%d", p.Source, p.Partition, p.Offset)
}
