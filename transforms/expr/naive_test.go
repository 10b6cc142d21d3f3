package expr

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// naiveFunctions are what expr-lang lacks or means otherwise, written plainly, for its machine to call.
var naiveFunctions = map[string]any{
	"sign": func(x any) int {
		switch f := asFloat(x); {
		case f > 0:
			return 1
		case f < 0:
			return -1
		}
		return 0
	},
	"clamp":             func(x, low, high int) int { return min(max(x, low), high) },
	"mod":               func(a, b int) int { return a % b },
	"strpos":            func(s, part string) int { return len([]rune(s[:max(0, strings.Index(s, part))])) + found(s, part) },
	"byte_len":          func(s string) int { return len(s) },
	"timestamp_seconds": func(n int) time.Time { return time.Unix(int64(n), 0).UTC() },
	"day_of_year":       func(t time.Time) int { return t.YearDay() },
	"year":              func(t time.Time) int { return t.Year() },
	"sqrt":              math.Sqrt,
	"trunc":             math.Trunc,
	"round": func(x float64, digits ...int) float64 {
		if len(digits) == 0 {
			return math.Round(x)
		}
		return naiveRound(x, digits[0])
	},
	"substring": func(s string, start, length int) string {
		r := []rune(s)
		if start < 0 {
			start += len(r) + 1
		}
		var b strings.Builder
		for i := start; i < start+length; i++ {
			if i >= 1 && i <= len(r) {
				b.WriteRune(r[i-1])
			}
		}
		return b.String()
	},
	"left": func(s string, n int) string {
		r := []rune(s)
		if n < 0 {
			n = max(0, len(r)+n)
		}
		return string(r[:min(n, len(r))])
	},
	"right": func(s string, n int) string {
		r := []rune(s)
		if n < 0 {
			n = max(0, len(r)+n)
		}
		return string(r[len(r)-min(n, len(r)):])
	},
	"reverse": func(s string) string {
		out := ""
		for _, x := range s {
			out = string(x) + out
		}
		return out
	},
	"lpad": func(s string, n int, fill string) string { p := naivePad(s, n, fill); return p + cut(s, n) },
	"rpad": func(s string, n int, fill string) string { p := naivePad(s, n, fill); return cut(s, n) + p },
	"split_part": func(s, sep string, n int) any {
		parts := strings.Split(s, sep)
		if n < 0 {
			n += len(parts) + 1
		}
		if n < 1 || n > len(parts) {
			return nil
		}
		return parts[n-1]
	},
	"concat": func(parts ...string) string { return strings.Join(parts, "") },
	"regexp_replace": func(s, pattern, by string) string {
		return regexp.MustCompile(pattern).ReplaceAllString(s, strings.ReplaceAll(by, "$1", "${1}"))
	},
	"regexp_extract": func(s, pattern string, group int) any {
		m := regexp.MustCompile(pattern).FindStringSubmatch(s)
		if m == nil {
			return nil
		}
		return m[group]
	},
	"format": func(_, s string, n int, x float64) string {
		text := fmt.Sprintf("%03d", n)
		if n < 0 {
			text = fmt.Sprintf("%04d", n) // the sign is no digit
		}
		return fmt.Sprintf("%s|%s|%.1f", s, text, x+0)
	},
}

func found(s, part string) int {
	if strings.Contains(s, part) {
		return 1
	}
	return 0
}

func asFloat(x any) float64 {
	if n, ok := x.(int); ok {
		return float64(n)
	}
	return x.(float64)
}

func cut(s string, n int) string { r := []rune(s); return string(r[:min(n, len(r))]) }

func naivePad(s string, n int, fill string) string {
	out := []rune{}
	for i := 0; len(out) < n-len([]rune(s)); i++ {
		out = append(out, []rune(fill)[i%len([]rune(fill))])
	}
	return string(out)
}

// naiveRound rounds the digits that x is written with, as text.
func naiveRound(x float64, digits int) float64 {
	text := strconv.FormatFloat(math.Abs(x), 'f', -1, 64)
	whole, part, _ := strings.Cut(text, ".")
	for len(part) <= digits {
		part += "0"
	}
	whole = "0" + whole
	all := whole + part
	keep := len(whole) + digits
	kept, err := strconv.ParseUint(all[:keep], 10, 64)
	if err != nil {
		return x // too many digits for this way
	}
	if all[keep] >= '5' {
		kept++
	}
	f, _ := strconv.ParseFloat(fmt.Sprintf("%de%d", kept, -digits), 64)
	return math.Copysign(f, x) + 0
}
