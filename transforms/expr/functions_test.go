package expr

import (
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// testCase is an expression with the type and the value it has over testRow.
type testCase = struct{ src, typ, want string }

func allCases() []testCase {
	return slices.Concat(evalCases, conditionCases, numberCases, stringCases, timeCases, arrayCases, otherCases)
}

var conditionCases = []testCase{
	{`if(n > 5, "much", "little")`, "string", "much"},
	{"if(unknown, 1, 2)", "long", "2"},
	{"if(ok, none, 2.5)", "double?", "null"},
	{`case(n < 5, "a", n < 10, "b", "c")`, "string", "b"},
	{`case(unknown, "a", n > 10, "b")`, "string?", "null"},
	{"case(unknown, 1, ok, 2.5)", "double?", "2.5"},
	{"case(not ok, nil, 7)", "long?", "7"},
	{"case(ok, price, 1)", "decimal(scale 2)", "9.99"},
	{"case(ok, ts, '2013-01-01T00:00:00Z')", "timestamp", "2013-07-04T23:30:00.500000Z"},
	{"case(false, tags, ok, split('x,y', ','))[1]", "string?", "y"},
	{"nullif(n, 7)", "long?", "null"},
	{"nullif(n, 7.5)", "long?", "7"},
	{"nullif(amount, 100)", "double?", "null"},
	{"nullif(amount, big)", "double?", "100"},
	{"nullif(n, none)", "long?", "7"},
	{"nullif(nan, nan)", "double?", "NaN"},
	{"nullif(country, 'US')", "string?", "null"},
	{"nullif(price, 9.99)", "decimal(scale 2)?", "null"},
	{"nullif(ts, '2013-07-04T23:30:00.5Z')", "timestamp?", "null"},
	{"nullif(ok, false)", "boolean?", "true"},
}

var numberCases = []testCase{
	{"sign(least) + sign(zero) + sign(amount)", "long?", "0"},
	{"sign(nan)", "long?", "null"},
	{"sign(negzero)", "long?", "0"},
	{"sign(tax)", "long?", "-1"},
	{"trunc(-1.7) + trunc(n)", "double", "6"},
	{"1 / trunc(-0.5)", "double", "Infinity"},
	{"floor(tax)", "decimal(scale 3)?", "-2.000"},
	{"ceil(tax)", "decimal(scale 3)?", "-1.000"},
	{"trunc(tax)", "decimal(scale 3)?", "-1.000"},
	{"round(tax)", "decimal(scale 3)?", "-2.000"},
	{"round(price, 1)", "decimal(scale 2)?", "10.00"},
	{"round(price, -1)", "decimal(scale 2)?", "10.00"},
	{"round(price, -2)", "decimal(scale 2)?", "0.00"},
	{"round(price, least)", "decimal(scale 2)?", "0.00"},
	{"round(price, big)", "decimal(scale 2)?", "9.99"},
	{"round(inf)", "double", "Infinity"},
	{"round(nan, 2)", "double", "NaN"},
	{"round(2.675, 2)", "double", "2.68"},
	{"round(-2.5)", "double", "-3"},
	{"round(1.005, 2)", "double", "1.01"},
	{"round(amount / 3, 4)", "double", "33.3333"},
	{"round(amount, 400)", "double", "100"},
	{"round(amount, -2)", "double", "100"},
	{"round(amount, -3)", "double", "0"},
	{"round(950.0, -3)", "double", "1000"},
	{"round(amount, least)", "double", "0"},
	{"round(5e-324, 323)", "double", "1e-323"},
	{"round(5e-324, 324)", "double", "5e-324"},
	{"round(9.995e307, -307)", "double", "1e+308"},
	{"round(1.7976931348623157e308, -308)", "double", "Infinity"},
	{"1 / round(-0.001, 1)", "double", "Infinity"},
	{"round(n, -1)", "long?", "10"},
	{"round(least, -1)", "long?", "null"},
	{"round(big, -1)", "long?", "null"},
	{"round(big, -18)", "long?", "9000000000000000000"},
	{"round(big, -19)", "long?", "null"},
	{"round(big, -20)", "long?", "0"},
	{"round(least, 3)", "long?", "-9223372036854775808"},
	{"round(-15, -1)", "long", "-20"},
	{"round(none, 2)", "long?", "null"},
	{"round(amount, none)", "double?", "null"},
	{"clamp(n, 0, 5)", "long", "5"},
	{"clamp(nan, 0, 1)", "double", "NaN"},
	{"clamp(inf, 0, 1)", "double", "1"},
	{"clamp(n, 10, 5)", "long", "5"},
	{"clamp(none, 0, 5)", "long?", "null"},
	{"mod(n, 4) + mod(-n, 4)", "long?", "0"},
	{"mod(n, zero)", "long?", "null"},
	{"pow(2, 0.5)", "double", "1.4142135623730951"},
	{"pow(-8, 1.0 / 3)", "double", "NaN"},
	{"pow(0, -1)", "double", "Infinity"},
	{"pow(10, 400)", "double", "Infinity"},
	{"pow(none, 0)", "double?", "null"},
	{"sqrt(amount) + sqrt(n * n)", "double?", "17"},
	{"sqrt(negzero)", "double", "0"},
	{"sqrt(-1)", "double", "NaN"},
	{"exp(1)", "double", "2.718281828459045"},
	{"exp(inf) + exp(-inf)", "double", "Infinity"},
	{"exp(1000)", "double", "Infinity"},
	{"exp(-1000)", "double", "0"},
	{"ln(exp(1)) + ln(1)", "double", "1"},
	{"ln(0)", "double", "-Infinity"},
	{"ln(-1)", "double", "NaN"},
	{"ln(nothing)", "double?", "null"},
	{"log10(amount) + log2(8)", "double", "5"},
	{"sin(0) + cos(0)", "double", "1"},
	{"sin(inf)", "double", "NaN"},
	{"is_nan(nan) and not is_nan(inf) and not is_nan(n)", "boolean", "true"},
	{"is_nan(nothing)", "boolean?", "null"},
	{"is_finite(amount) and not is_finite(nan) and not is_finite(-inf)", "boolean", "true"},
	{"sqrt(price) > 3.16", "boolean", "true"},
	{"boolean('YES') and bool('1') and not bool('Off')", "boolean", "true"},
	{"boolean(country)", "boolean?", "null"},
	{"boolean(blank)", "boolean?", "null"},
	{"boolean(nan)", "boolean?", "null"},
	{"boolean(n)", "boolean", "true"},
	{"boolean(ok)", "boolean", "true"},
}

var stringCases = []testCase{
	{"byte_len(word) + byte_len(blob)", "long?", "12"},
	{"substring(word, 2, 5)", "string", "Größe"},
	{"substring(word, -2)", "string", "e "},
	{"substring(word, 0, 3)", "string", " G"},
	{"substring(word, -100, 97)", "string", " Grö"},
	{"substring(word, 100)", "string", ""},
	{"substring(word, least, big)", "string?", " Größe"},
	{"substring(word, big, big)", "string?", ""},
	{"substring(word, 1, zero - 1)", "string?", "null"},
	{"substring(country, none)", "string?", "null"},
	{"left(word, 3) + right(word, 3)", "string?", " Grße "},
	{"left(country, -1) + right(country, -1)", "string?", "US"},
	{"left(country, -5) + right(country, least)", "string?", ""},
	{"left(country, big) + right(country, 0)", "string?", "US"},
	{"strpos(word, 'ß')", "long", "5"},
	{"strpos(word, 'x') + strpos(word, blank)", "long?", "1"},
	{"strpos(nowhere, 'x')", "long?", "null"},
	{"replace(word, 'ö', 'oe')", "string?", " Groeße "},
	{"replace(country, blank, 'x')", "string?", "US"},
	{"replace('aaa', 'aa', 'b')", "string", "ba"},
	{"split(country, 'x')[0]", "string?", "US"},
	{"len(split(blank, ','))", "long?", "1"},
	{"split('a,b', ',')[-1]", "string?", "b"},
	{"split('a,b', blank)[0]", "string?", "null"},
	{"country in split('DE,US', ',')", "boolean?", "true"},
	{"split_part('a--b---c', '--', 2) + split_part('a--b---c', '--', -1)", "string", "b-c"},
	{"split_part('a,b', ',', 3)", "string?", "null"},
	{"split_part('a,b', ',', -3)", "string?", "null"},
	{"split_part('a,b', ',', 0)", "string?", "null"},
	{"split_part('a,b', ',', least)", "string?", "null"},
	{"split_part('a,b', ',', big)", "string?", "null"},
	{"split_part(blank, ',', 1)", "string?", ""},
	{"join(tags, ', ')", "string?", "a, b"},
	{"join(split(blank, 'x'), '-')", "string?", ""},
	{"concat(country, '-', word, blank)", "string?", "US- Größe "},
	{"concat(country, nowhere)", "string?", "null"},
	{"repeat(country, 3) + repeat(blank, big)", "string?", "USUSUS"},
	{"repeat(country, -1)", "string?", "null"},
	{"repeat(country, big)", "string?", "null"},
	{"reverse(word)", "string?", " eßörG "},
	{"lpad(string(n), 3, '0') + rpad(country, 4)", "string?", "007US  "},
	{"lpad(country, 7, 'äb')", "string?", "äbäbäUS"},
	{"lpad(country, 1) + rpad(country, 0) + lpad(country, least)", "string?", "U"},
	{"lpad(country, 9, blank)", "string?", "US"},
	{"lpad(country, big)", "string?", "null"},
	{`format("{} {{{}}} {:.2f} {:04d}", country, n, amount / 3, n)`, "string?", "US {7} 33.33 0007"},
	{`format("{:.1f} {:.0f} {:.3f}", n, nan, inf)`, "string?", "7.0 NaN Infinity"},
	{`format("{:03d}", -n) + format("}")`, "string?", "-007}"},
	{`format("{}", none)`, "string?", "null"},
	{`format("{} {} {}", price, ts, day)`, "string?", "9.99 2013-07-04T23:30:00.500000Z 1969-12-31"},
	{`format("{:.1f}", price)`, "string?", "10.0"},
	{`regexp_extract(word, "[a-zöß]+")`, "string?", "röße"},
	{`regexp_extract("a=1", "(\\w)=(\\d)|x", 2)`, "string", "1"},
	{`regexp_extract("x", "(\\w)=(\\d)|x", 2)`, "string?", "null"},
	{`regexp_extract(country, "z")`, "string?", "null"},
	{`regexp_extract(nowhere, "z")`, "string?", "null"},
	{`regexp_replace(word, "\\s+", "")`, "string?", "Größe"},
	{`regexp_replace(country, "(U)(S)", "$2${1}$$")`, "string?", "SU$"},
	{`regexp_replace(country, "x*", "-")`, "string?", "-U-S-"},
	{`regexp_replace(blank, "^", "x")`, "string?", "x"},
	{`regexp_replace("ab", "\\b", "|") + regexp_replace("b", "(a)?b", "<$1>")`, "string", "|ab|<>"},
}

var arrayCases = []testCase{
	{"sum(vector)", "double?", "2.5"},
	{"sum(wild)", "double?", "1e+308"},
	{"sum(odd)", "double?", "NaN"},
	{"sum(empty)", "double?", "null"},
	{"sum(longs)", "long?", "null"},
	{"sum(shorts)", "long?", "2"},
	{"sum(gaps) + avg(gaps)", "double?", "2"},
	{"avg(longs)", "double?", "6148914691236517000"},
	{"avg(shorts)", "double?", "0.6666666666666666"},
	{"mean(wild)", "double?", "3.333333333333333e+307"},
	{"avg(empty)", "double?", "null"},
	{"min(vector) + max(vector)", "double?", "1.5"},
	{"min(odd)", "double?", "NaN"},
	{"max(odd)", "double?", "NaN"},
	{"min(empty)", "double?", "null"},
	{"max(tags) + min(tags)", "string?", "ba"},
	{"max(gaps)", "long?", "1"},
	{"max(prices)", "decimal(scale 2)?", "9.99"},
	{"dot(vector, vector)", "double?", "23.25"},
	{"dot(wild, wild)", "double?", "Infinity"},
	{"dot(vector, shorts)", "double?", "-27"},
	{"dot(vector, empty)", "double?", "null"},
	{"dot(empty, empty)", "double?", "0"},
	{"dot(gaps, gaps)", "double?", "null"},
	{"dot(odd, vector)", "double?", "NaN"},
	{"cosine(wild, wild)", "double?", "1"},
	{"cosine(vector, vector)", "double?", "1"},
	{"cosine(vector, odd)", "double?", "NaN"},
	{"cosine(empty, empty)", "double?", "null"},
	{"get(tags, 1) + get(tags, 9, 'z')", "string?", "bz"},
	{"get(attrs, 'k') + get(attrs, country, 1)", "long?", "7"},
	{"join(keys(attrs), ',')", "string?", "k"},
	{"'k' in keys(attrs)", "boolean?", "true"},
}

var otherCases = []testCase{
	{`hash("")`, "long", "-1205034819632174695"},
	{"hash(country) == hash('US')", "boolean", "true"},
	{"hash(n)", "long", "609900476111905877"},
	{"hash(negzero) == hash(0.0) and hash(nan) == hash(double('NaN'))", "boolean", "true"},
	{"hash(none)", "long?", "null"},
	{"hash(price) == hash('9.99')", "boolean?", "true"},
	{"hash_bucket(country, 10) in 0..9 and hash_bucket(country, 1) == 0", "boolean", "true"},
	{"hash_bucket(country, zero)", "long?", "null"},
	{"hash_bucket(country, least)", "long?", "null"},
	{"hash_bucket(nowhere, 5)", "long?", "null"},
	{"sha256(blank)", "string", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"haversine(0, 0, 0, 180)", "double", "20015114.442035925"},
	{"haversine(51.5, -0.12, 51.5, -0.12)", "double", "0"},
	{"haversine(0, 0, 90, 0) - haversine(90, 0, 0, 77)", "double", "0"},
	{"haversine(0, 0, 91, 0)", "double?", "null"},
	{"haversine(0, 0, 0, 361)", "double?", "null"},
	{"haversine(0, inf, 0, 0)", "double?", "null"},
	{"haversine(0, nan, 0, 0)", "double?", "NaN"},
	{"haversine(0, nothing, 0, 0)", "double?", "null"},
	{"haversine(0, 359, 0, -1)", "double", "0"},
	{"bearing(0, 0, -10, 0)", "double", "180"},
	{"bearing(0, 0, 0, -10)", "double", "270"},
	{"bearing(5, 5, 5, 5)", "double", "0"},
	{"geohash(57.64911, 10.40744, 11)", "string", "u4pruydqqvj"},
	{"geohash(-90, -180, 3) + geohash(90, 180, 2)", "string", "000zz"},
	{"geohash(0, 181, 5)", "string?", "null"},
	{"geohash(nan, 0, 5)", "string?", "null"},
}

// functionErrors are mistakes in calls; the part that is wrong stands between « and ».
var functionErrors = []struct{ src, msg, hint string }{
	{"round(n, «amount»)", "round takes a long, not double", ""},
	{"round(«country»)", "round takes a number, not string", ""},
	{"sqrt(«nil»)", "sqrt takes a number, not nil", ""},
	{"«case(ok, 1, ok, 'a')»", "the values of case are of two kinds: long and string", ""},
	{"case(«n», 1)", "condition 1 of case is long, not boolean", "case(cond, a"},
	{"if(«n», 1, 2)", "the condition of ?: is long, not boolean", ""},
	{"«nullif(n, country)»", "cannot compare long with string", "convert one side"},
	{"split(country, «''»)", "an empty separator is nowhere", ""},
	{"join(«vector», ',')", "join takes an array of strings, not array of double", ""},
	{"concat(country, «n»)", "concat takes strings, not long", "string(n)"},
	{"format(«country», n)", "the template of format is a string literal", "format("},
	{"format(«'{} {}'», n)", "the template has more {} than values follow", ""},
	{"format('{}', n, «ok»)", "no {} of the template is for this value", ""},
	{"format(«'{'», n)", "a { without its }", "{{"},
	{"format(«'{:x}'», n)", "{:x} is no form of a value", "{:.2f}"},
	{"format(«'{:.31f}'», n)", "{:.31f} is no form of a value", "at most 30"},
	{"format('{:.2f}', «country»)", "{:.2f} does not write string", "{:05d}"},
	{"regexp_extract(country, «country»)", "the pattern of regexp_extract is a string literal", "^[a-z]"},
	{"regexp_extract(country, 'a', «1»)", "the pattern has no group 1", "it has 0"},
	{"regexp_replace(country, 'a', «'$1'»)", "the pattern has no group 1", "it has 0"},
	{"regexp_replace(country, 'a', «'$x'»)", "a $ without the number of a group", "$$"},
	{"country matches «'(a{1,500}b){2}'»", "the patterns of the expression are too large", "columns"},
	{"country matches «'(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)'»", "the pattern has 10 groups", "(?:…)"},
	{"date_trunc(«'fortnight'», ts)", `"fortnight" is not a unit of date_trunc that exists`, "write one of"},
	{"date_trunc(«'weak'», ts)", `"weak" is not a unit of date_trunc that exists`, "did you mean week?"},
	{"date_trunc('hour', «day»)", "date_trunc takes a timestamp, not date", ""},
	{"date_trunc('day', ts, «'Mars'»)", `"Mars" is not a time zone`, "America/New_York"},
	{"date_add(ts, «'1 day'»)", `"1 day" is not a duration`, "36h"},
	{"date_add(day, «'1h'»)", "a date takes whole days", "1d"},
	{"date_add(day, «n»)", "a date takes a duration of whole days, not long", "1d"},
	{"strftime(ts, «'%Q'»)", "%Q is not known here", "%Y"},
	{"strftime(day, «'%z'»)", "a date has no %z", "zone"},
	{"strptime(country, «'%H:%M'»)", "the format tells no date", "%Y"},
	{"strptime(country, «'%F %I'»)", "%I and %p go together", "%H"},
	{"timestamp(«n»)", "timestamp takes a string or a local timestamp, not long", "timestamp_seconds(n)"},
	{"timestamp(«'2013-02-30T00:00:00Z'»)", `"2013-02-30T00:00:00Z" is no timestamp`, ""},
	{"month(«at»)", "month takes a timestamp or a date, not time", ""},
	{"hour(«'soon'»)", `"soon" is not a timestamp`, "2013-01-05T10:00:00Z"},
	{"hash(«tags»)", "hash takes a single value, not array of string", ""},
	{"hash_bucket(country, «0»)", "there is no bucket", "above 0"},
	{"geohash(0, 0, «13»)", "the length of a geohash is a literal from 1 to 12", ""},
	{"dot(vector, «tags»)", "dot takes an array of numbers, not array of string", ""},
	{"get(«n», 1)", "get takes an array or a map, not long", ""},
	{"«contains»(country, 'a')", `unexpected "contains"`, "s contains t"},
	{"«substr»(country, 1)", "substr is not a function", "write substring"},
	{"«greatest»(n, 1)", "greatest is not a function", "write max"},
}

// TestExamples runs the examples of the reference.
func TestExamples(t *testing.T) {
	columns := ExampleRow()
	lookup := func(name string) (int, event.Type, bool) {
		for i, c := range columns {
			if c.Name == name {
				return i, c.Type, true
			}
		}
		return 0, event.Type{}, false
	}
	var row []event.Value
	for _, c := range columns {
		row = append(row, c.Value)
	}
	for _, d := range slices.Concat(Functions(), Operators()) {
		if len(d.Examples) == 0 && d.Group != "" {
			t.Errorf("%s has no example", d.Name)
		}
		for _, e := range d.Examples {
			p, err := Compile(e.Expr, lookup, nil)
			if err != nil {
				t.Errorf("%s: %v", e.Expr, err)
				continue
			}
			if v := p.Eval(row); v.String() != e.Answer {
				t.Errorf("%s = %s, documented as %s", e.Expr, v, e.Answer)
			}
		}
	}
}
