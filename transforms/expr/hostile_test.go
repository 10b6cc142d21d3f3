package expr

import (
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/zone"
)

// TestScalarAllocations: what answers a number, a boolean or an instant allocates nothing, and neither does
// what answers a part of a string.
func TestScalarAllocations(t *testing.T) {
	row := testRow()
	for _, src := range []string{
		"sqrt(amount) + exp(0.5) + ln(amount) + log2(n) + log10(amount) + pow(amount, 0.3) + sin(amount)",
		"round(amount / 3, 2) + round(n, -1) + clamp(amount, 0, 5) + sign(n) + trunc(amount)",
		"is_nan(amount) or is_finite(amount) and boolean('yes') and boolean(country) == nil",
		"case(n > 8, 1, ok, 2, 3) + if(ok, n, 2) + (nullif(n, 3) ?? 0)",
		"strpos(word, 'ß') + byte_len(word) + len(substring(word, 2, 3)) + len(left(word, 2)) + len(right(word, -1))",
		"split_part(word, 'r', 2)",
		"year(ts) + month(ts) + day(ts) + hour(ts) + minute(ts) + second(ts) + week(ts) + iso_year(ts) + quarter(ts)",
		"day_of_year(ts, 'America/New_York') + hour(ts, 'Europe/Berlin') + day_of_week(ts, 'Asia/Tokyo')",
		"is_weekend(ts, 'America/New_York')",
		"date_trunc('hour', ts, 'America/New_York')",
		"date_trunc('day', ts, 'America/New_York')",
		"date_trunc('month', ts)",
		"date_add(ts, '1h')",
		"seconds_between(old, ts) + days_between(old, ts) + unix_seconds(ts) + unix_millis(ts)",
		"timestamp_seconds(amount)",
		"strptime(country, '%Y-%m-%d')",
		"timestamp('2013-07-04T23:30:00Z') == ts and date(ts) == '2013-07-04' and time(ts) > '10:00:00'",
		"hash(country) + hash(n) + hash(amount) + hash(ok) + hash(ts) + hash_bucket(country, 100)",
		"haversine(amount / 2, 10, 51, amount) + bearing(amount / 2, 10, 51, amount)",
		"sum(vector) + avg(vector) + min(vector) + max(vector) + dot(vector, vector) + cosine(vector, shorts) + sum(shorts)",
		"get(tags, 1)",
		`country matches "^[A-Z]+$"`,
	} {
		p, err := Compile(src, testLookup, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { p.Eval(row) }); n != 0 {
			t.Errorf("%s: %v allocations", src, n)
		}
	}
}

// TestHostileStrings gives long strings to all that builds strings: no answer is longer than the bound, and
// none takes for ever.
func TestHostileStrings(t *testing.T) {
	huge := strings.Repeat("ab,", 1<<20)
	lookup := func(name string) (int, event.Type, bool) {
		switch name {
		case "s":
			return 0, stringType, true
		case "n":
			return 1, longType, true
		case "l":
			return 2, event.Type{Kind: event.List, Elem: &stringType}, true
		}
		return 0, event.Type{}, false
	}
	sources := []string{
		"replace(s, 'a', s)", "replace(s, 'a', 'aaaaaaaa')", "replace(left(s, 60000), 'a', left(s, 60000))", "split(s, ',')[0]",
		"split(left(s, 60000), 'b')[0]", "split_part(s, ',', n)", "split_part(s, ',', -n)", "join(l, s)", "join(l, '')",
		"concat(s, s)", "repeat(s, n)", "repeat('ab', n)", "reverse(s)", "lpad(s, n, s)", "rpad('', n, left(s, 1000))",
		"lpad('', n, 'x')", "format('{}{}', s, s)", "regexp_extract(s, '(a|b|,)*$')", "regexp_replace(s, 'a', 'bbbb')",
		"regexp_replace(left(s, 60000), '', '$0$0$0')", "regexp_replace(left(s, 60000), '.*', '$0$0$0$0')",
		"regexp_replace(left(s, 20000), '[ab]', '$0$0$0$0$0')", "regexp_extract(left(s, 65000), '(([ab]+,)+)+x')",
		"substring(s, n)", "substring(s, -n, n)", "strpos(s, 'aba')", "upper(s)", "sha256(s)", "hash(s)", "strptime(s, '%F')",
		"timestamp(s)", "date(s)", "boolean(s)", "double(s)", "long(s)", "left(s, 65000) matches '(a|b|,){1,100}x'",
		strings.Repeat("replace(", 150) + "left(s, 60000)" + strings.Repeat(", 'a', 'aa')", 150),
		strings.Repeat("reverse(", 100) + "left(s, 65536)" + strings.Repeat(")", 100),
	}
	list := event.Value{Kind: event.List, Str: string(event.AppendList(nil, event.StringOf(huge), event.StringOf(huge)))}
	for _, src := range sources {
		p, err := Compile(src, lookup, nil)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		counts := []int64{70000}
		if strings.Contains(src, " n") || strings.Contains(src, "-n") {
			counts = []int64{0, 1, 3, 70000, math.MaxInt64, math.MinInt64}
		}
		for _, n := range counts {
			v := p.Eval([]event.Value{event.StringOf(huge), event.LongOf(n), list})
			if within := strings.HasPrefix(src, "substring") || strings.HasPrefix(src, "split_part"); len(v.Str) > MaxString && !within {
				t.Errorf("%.60s, n = %d: %d bytes", src, n, len(v.Str))
			}
		}
	}
}

// TestCalendar compares with the time package, in UTC and in all zones.
func TestCalendar(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		at := time.UnixMicro(r.Int64N(4e17) - 2e17).UTC()
		days := floorDiv(at.UnixMicro(), dayMicros)
		y, m, d := civil(days)
		iso, week := isoWeek(days)
		wantYear, wantWeek := at.ISOWeek()
		if int(y) != at.Year() || int(m) != int(at.Month()) || int(d) != at.Day() || daysOf(y, m, d) != days ||
			int(weekday(days)) != (int(at.Weekday())+6)%7+1 || int(iso) != wantYear || int(week) != wantWeek {
			t.Fatalf("%v: %d-%d-%d, weekday %d, week %d/%d", at, y, m, d, weekday(days), iso, week)
		}
	}
	for _, name := range zone.Names() {
		loc, err := zone.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		c := clockOf(loc)
		check := func(micros int64) {
			t.Helper()
			_, want := time.UnixMicro(micros).In(loc).Zone()
			if got, since := c.at(micros); got != int64(want)*secondMicros || since > micros {
				t.Fatalf("%s at %v: offset %d since %d, want %d", name, time.UnixMicro(micros).UTC(), got/secondMicros, since, want)
			}
			// What the clock shows is shown first at an instant not after this one.
			local := c.local(micros)
			if first := c.instant(local); first > micros || c.local(first) != local {
				t.Fatalf("%s at %v: the clock shows it first at %v", name, time.UnixMicro(micros).UTC(), time.UnixMicro(first).UTC())
			}
		}
		for range 30 {
			check(r.Int64N(6e15) - 1e15)
		}
		for _, start := range c.starts {
			check(start - 1)
			check(start)
			check(start + 1800*secondMicros)
		}
	}
}

// TestTruncInZones compares date_trunc with a search by the time package for the first instant of the unit.
func TestTruncInZones(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	names := zone.Names()
	for range 1500 {
		name := names[r.IntN(len(names))]
		loc, err := zone.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		c := clockOf(loc)
		at := r.Int64N(6e15) - 1e15
		if len(c.starts) > 1 && r.IntN(2) == 0 { // near a change
			at = c.starts[1+r.IntN(len(c.starts)-1)] + r.Int64N(2*dayMicros) - dayMicros/2
		}
		for unit := len(truncSizes); unit < len(truncUnits); unit++ {
			key := func(t int64) int64 { return floorDate(unit, floorDiv(c.local(t), dayMicros)) }
			got := floorDay(clockOf(loc), unit, at)
			// The unit that the clock shows, or the next one, if it has begun and the clock was set back.
			again := key(got) > key(at) && c.local(at) < c.local(got)
			if key(got) != key(at) && !again || key(got-1) >= key(got) || got > at {
				t.Fatalf("%s of %v in %s: %v", truncUnits[unit], time.UnixMicro(at).In(loc), name, time.UnixMicro(got).In(loc))
			}
		}
	}
}

// TestExactSum compares with rational numbers.
func TestExactSum(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	random := func() float64 {
		for {
			f := math.Float64frombits(r.Uint64())
			switch r.IntN(4) {
			case 0:
				f = float64(r.IntN(2000) - 1000)
			case 1:
				f = math.Float64frombits(r.Uint64N(1 << 54)) // subnormal, or nearly
			case 2:
				f = r.NormFloat64()
			}
			if f-f == 0 {
				return f
			}
		}
	}
	nearest := func(x *big.Rat) float64 { f, _ := x.Float64(); return f }
	for range 2000 {
		n := 1 + r.IntN(8)
		var sum, dot, mean exactSum
		wantSum, wantDot := new(big.Rat), new(big.Rat)
		for range n {
			x, y := random(), random()
			if r.IntN(3) == 0 {
				y = -x
			}
			sum.addDouble(x)
			sum.addLong(int64(y32(y)))
			mean.addDouble(x)
			mean.addLong(int64(y32(y)))
			dot.addProduct(x, y)
			wantSum.Add(wantSum, new(big.Rat).SetFloat64(x))
			wantSum.Add(wantSum, new(big.Rat).SetInt64(int64(y32(y))))
			wantDot.Add(wantDot, new(big.Rat).Mul(new(big.Rat).SetFloat64(x), new(big.Rat).SetFloat64(y)))
		}
		by := uint32(1 + r.IntN(1<<r.IntN(31)))
		if got, want := sum.over(1), nearest(wantSum); got != want {
			t.Fatalf("sum %v, want %v", got, want)
		}
		if got, want := mean.over(by), nearest(new(big.Rat).Quo(wantSum, new(big.Rat).SetInt64(int64(by)))); got != want {
			t.Fatalf("mean %v, want %v", got, want)
		}
		if got, want := dot.over(1), nearest(wantDot); got != want {
			t.Fatalf("dot %v, want %v", got, want)
		}
	}
}

func y32(y float64) int32 { return int32(int64(math.Float64bits(y))) }

// TestHash compares with XXH64 as its specification tells it, for inputs shorter than 32 bytes.
func TestHash(t *testing.T) {
	const p1, p2, p3, p4, p5 = 11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261
	naive := func(b string) uint64 {
		h := uint64(p5) + uint64(len(b))
		word := func(n int) (w uint64) {
			for i := range n {
				w |= uint64(b[i]) << (8 * i)
			}
			b = b[n:]
			return w
		}
		for len(b) >= 8 {
			k := word(8) * p2
			k = bits.RotateLeft64(k, 31) * p1
			h = bits.RotateLeft64(h^k, 27)*p1 + p4
		}
		if len(b) >= 4 {
			h = bits.RotateLeft64(h^word(4)*p1, 23)*p2 + p3
		}
		for b != "" {
			h = bits.RotateLeft64(h^word(1)*p5, 11) * p1
		}
		h = (h ^ h>>33) * p2
		h = (h ^ h>>29) * p3
		return h ^ h>>32
	}
	le := func(n uint64) string {
		var b [8]byte
		for i := range b {
			b[i] = byte(n >> (8 * i))
		}
		return string(b[:])
	}
	row := testRow()
	for src, input := range map[string]string{
		"hash(country)": "US", "hash(word)": " Größe ", "hash(blob)": "\x00\xff\"", "hash(n)": le(7), "hash(least)": le(1 << 63),
		"hash(amount)": le(math.Float64bits(100)), "hash(nan)": le(0x7ff8000000000001), "hash(negzero)": le(0), "hash(ok)": "\x01",
		"hash(not ok)": "\x00", "hash(old)": le(math.MaxUint64), "hash(day)": le(math.MaxUint64), "hash(price)": "9.99",
	} {
		p, err := Compile(src, testLookup, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Eval(row).Long(); uint64(got) != naive(input) {
			t.Errorf("%s = %d, want %d", src, got, int64(naive(input)))
		}
	}
}
