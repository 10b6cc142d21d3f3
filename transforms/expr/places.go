package expr

import (
	"math"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/elementary"
)

func placeFunctions() []function {
	return []function{
		def(4, 4, compilePlaces(haversine), "haversine(lat1 number, lon1 number, lat2 number, lon2 number) double",
			"Metres between two places along a great circle of a sphere of 6,371,008.8 m, from degrees. Null where a latitude is beyond ±90 or a longitude beyond ±360; NaN of NaN. The same bits on every machine.",
			"round(haversine(40.6413, -73.7781, 51.47, -0.4543) / 1000, 3)", "5540.019"),
		def(4, 4, compilePlaces(bearing), "bearing(lat1 number, lon1 number, lat2 number, lon2 number) double",
			"Degrees from north, clockwise, 0 to below 360, in which the second place lies as seen from the first; 0 if they are one. Bounds as of haversine.",
			"bearing(0, 0, 0, 10)", "90"),
		def(3, 3, compileGeohash, "geohash(lat number, lon number, length long) string",
			"The cell of so many characters, 1 to 12, a literal. Null where a latitude is beyond ±90 or a longitude beyond ±180, and of NaN.",
			"geohash(57.64911, 10.40744, 11)", "u4pruydqqvj"),
	}
}

const (
	earthRadius = 6371008.8 // the mean radius of IUGG
	radian      = math.Pi / 180
)

// half is sin² and cos² of half an angle in degrees.
func half(degrees float64) (sin2, cos2 float64) {
	a := float64(degrees * (radian / 2))
	s, c := elementary.Sin(a), elementary.Cos(a)
	return float64(s * s), float64(c * c)
}

// turned is the way from one longitude to another, between -180 and 180 degrees.
func turned(from, to float64) float64 { return math.Remainder(to-from, 360) }

// haversine sums terms that are not negative for the angle and for what it lacks to a half turn, so that
// neither near places nor opposite ones are small differences:
// h = sin²(Δφ/2)·cos²(Δλ/2) + cos²(φ̄)·sin²(Δλ/2), 1-h = cos²(Δφ/2)·cos²(Δλ/2) + sin²(φ̄)·sin²(Δλ/2).
func haversine(lat1, lon1, lat2, lon2 float64) float64 {
	sinLat, cosLat := half(lat2 - lat1)
	sinLon, cosLon := half(turned(lon1, lon2))
	sinMean, cosMean := half(lat1 + lat2)
	h := float64(sinLat*cosLon) + float64(cosMean*sinLon)
	rest := float64(cosLat*cosLon) + float64(sinMean*sinLon)
	return float64(2 * earthRadius * elementary.Atan2(math.Sqrt(h), math.Sqrt(rest)))
}

func bearing(lat1, lon1, lat2, lon2 float64) float64 {
	turn := float64(turned(lon1, lon2) * radian)
	from, to := float64(lat1*radian), float64(lat2*radian)
	cosTo, sinHalf := elementary.Cos(to), elementary.Sin(turn/2)
	y := float64(elementary.Sin(turn) * cosTo)
	// cosφ1·sinφ2 - sinφ1·cosφ2·cosΔλ without the difference of what is nearly equal.
	x := elementary.Sin(to-from) + float64(2*float64(float64(elementary.Sin(from)*cosTo)*float64(sinHalf*sinHalf)))
	b := float64(elementary.Atan2(y, x) / radian)
	if b < 0 {
		b += 360
	}
	if b >= 360 {
		return 0
	}
	return b
}

func compilePlaces(f func(lat1, lon1, lat2, lon2 float64) float64) compileFunc {
	return func(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
		xs, err := c.numbers(name, args)
		if err != nil {
			return code{}, err
		}
		r := nullable(event.Double, name, xs...)
		places := [4]fn[float64]{xs[0].f, xs[1].f, xs[2].f, xs[3].f}
		bound := [4]float64{90, 360, 90, 360}
		r.f = func(row []event.Value) (float64, bool) {
			var v [4]float64
			for i, x := range places {
				var ok bool
				if v[i], ok = x(row); !ok || math.Abs(v[i]) > bound[i] {
					return 0, false
				}
			}
			return f(v[0], v[1], v[2], v[3]) + 0, true
		}
		return fold(r, xs...), nil
	}
}

func compileGeohash(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	xs, err := c.numbers(name, args[:2])
	if err != nil {
		return code{}, err
	}
	n := args[2]
	if !n.konst || n.t.Kind != event.Long || n.val.Long() < 1 || n.val.Long() > 12 {
		return code{}, c.fail(n.at, "the length of a geohash is a literal from 1 to 12", "")
	}
	length := int(n.val.Long())
	xs = append(xs, n.code)
	r := nullable(event.String, name, xs...)
	r.s = try2(xs[0].f, xs[1].f, func(lat, lon float64) (string, bool) {
		if !(math.Abs(lat) <= 90 && math.Abs(lon) <= 180) {
			return "", false
		}
		return geohash(lat, lon, length), true
	})
	return fold(r, xs...), nil
}

// geohash halves the ranges of longitude and latitude in turn; each middle is a double exactly.
func geohash(lat, lon float64, length int) string {
	const letters = "0123456789bcdefghjkmnpqrstuvwxyz"
	var out [12]byte
	low, high, at := [2]float64{-180, -90}, [2]float64{180, 90}, [2]float64{lon, lat}
	for i := range length * 5 {
		axis := i % 2
		middle := (low[axis] + high[axis]) / 2
		out[i/5] <<= 1
		if at[axis] >= middle {
			out[i/5] |= 1
			low[axis] = middle
		} else {
			high[axis] = middle
		}
	}
	for i := range length {
		out[i] = letters[out[i]]
	}
	return string(out[:length])
}
