package expr

import (
	"testing"
	"time"

	oracle "github.com/expr-lang/expr"
)

// BenchmarkEval evaluates typical expressions over one row: ours, and expr-lang's own machine where it
// knows the same functions.
func BenchmarkEval(b *testing.B) {
	for _, bc := range []struct{ name, src, theirs string }{
		{"condition", `amount*1.2 > 100 and country in ["US","DE"]`, ""},
		{"arithmetic", "(amount - 3.5) * n / (n + 2) > 7", ""},
		{"nested", "amount > 50 ? (n > 5 ? amount * 2 : amount) : 0.0", ""},
		{"string", `lower(country) == "us" and country startsWith "U"`, ""},
		{"regexp", `country matches "^[A-Z]+$"`, ""},
		{"split", `split_part(word, "r", 1) == " G"`, `split(word, "r")[0] == " G"`},
		{"sum of array", "sum(vector) + max(vector)", ""},
		{"hour", `hour(ts) >= 22`, "ts.Hour() >= 22"},
		{"hour in zone", `hour(ts, "America/New_York") >= 22`, "ts.In(zone).Hour() >= 22"},
		{"day in zone", `date_trunc("day", ts, "America/New_York") < ts`, ""},
		{"logarithm", "ln(amount) + exp(0.5)", ""},
		{"distance", "haversine(amount / 2, 10, 51, amount)", ""},
		{"hash bucket", "hash_bucket(country, 1000)", ""},
		{"case", `case(amount < 10, "low", amount < 1000, "mid", "high")`, `amount < 10 ? "low" : amount < 1000 ? "mid" : "high"`},
	} {
		b.Run(bc.name+"/penstock", func(b *testing.B) {
			p, err := Compile(bc.src, testLookup, nil)
			if err != nil {
				b.Fatal(err)
			}
			row := testRow()
			b.ReportAllocs()
			for b.Loop() {
				p.Eval(row)
			}
		})
		theirs := bc.theirs
		if theirs == "" {
			theirs = bc.src
		}
		zone, err := time.LoadLocation("America/New_York")
		if err != nil {
			zone = time.FixedZone("EST", -5*3600)
		}
		env := map[string]any{
			"amount": 100.0, "n": 7, "country": "US", "word": " Größe ", "vector": []float64{1, -2.5, 4},
			"ts": time.Date(2013, 7, 4, 23, 30, 0, 5e8, time.UTC), "zone": zone,
		}
		machine, err := oracle.Compile(theirs, oracle.Env(env))
		if err != nil {
			continue // it has no such function
		}
		b.Run(bc.name+"/expr-lang", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := oracle.Run(machine, env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
