package expr

import (
	"math"

	"github.com/penstock-ml/penstock/event"
)

// ordered compares two of one kind; doubles as IEEE does.
func ordered[T int64 | float64 | string](op string, a, b fn[T]) fn[bool] {
	switch op {
	case "==":
		return try2(a, b, func(x, y T) (bool, bool) { return x == y, true })
	case "!=":
		return try2(a, b, func(x, y T) (bool, bool) { return x != y, true })
	case "<":
		return try2(a, b, func(x, y T) (bool, bool) { return x < y, true })
	case "<=":
		return try2(a, b, func(x, y T) (bool, bool) { return x <= y, true })
	case ">":
		return try2(a, b, func(x, y T) (bool, bool) { return x > y, true })
	}
	return try2(a, b, func(x, y T) (bool, bool) { return x >= y, true })
}

// orderedConst compares with a constant.
func orderedConst[T int64 | float64 | string](op string, a fn[T], y T) fn[bool] {
	switch op {
	case "==":
		return func(row []event.Value) (bool, bool) { x, ok := a(row); return x == y, ok }
	case "!=":
		return func(row []event.Value) (bool, bool) { x, ok := a(row); return x != y, ok }
	case "<":
		return func(row []event.Value) (bool, bool) { x, ok := a(row); return x < y, ok }
	case "<=":
		return func(row []event.Value) (bool, bool) { x, ok := a(row); return x <= y, ok }
	case ">":
		return func(row []event.Value) (bool, bool) { x, ok := a(row); return x > y, ok }
	}
	return func(row []event.Value) (bool, bool) { x, ok := a(row); return x >= y, ok }
}

// holds compares by a three-way comparison.
func holds[T any](op string, a, b fn[T], cmp func(T, T) int) fn[bool] {
	test := sign(op)
	return try2(a, b, func(x, y T) (bool, bool) { return test(cmp(x, y)), true })
}

// sign is the test of op on a three-way comparison.
func sign(op string) func(int) bool {
	switch op {
	case "==":
		return func(c int) bool { return c == 0 }
	case "!=":
		return func(c int) bool { return c != 0 }
	case "<":
		return func(c int) bool { return c < 0 }
	case "<=":
		return func(c int) bool { return c <= 0 }
	case ">":
		return func(c int) bool { return c > 0 }
	}
	return func(c int) bool { return c >= 0 }
}

// mixed compares a long with a double exactly.
func mixed(op string, a fn[int64], b fn[float64]) fn[bool] {
	test := sign(op)
	return try2(a, b, func(x int64, y float64) (bool, bool) {
		if math.IsNaN(y) {
			return op == "!=", true
		}
		return test(compareMixed(x, y)), true
	})
}

// compareMixed orders x and y, which is not NaN, by their exact values.
func compareMixed(x int64, y float64) int {
	switch {
	case y >= 1<<63:
		return -1
	case y < -1<<63:
		return 1
	}
	whole := int64(y) // towards zero
	switch {
	case x < whole:
		return -1
	case x > whole:
		return 1
	}
	switch part := y - math.Trunc(y); {
	case part > 0:
		return -1
	case part < 0:
		return 1
	}
	return 0
}

// exactly tells whether n and f are one number.
func exactly(n int64, f float64) bool { return compareMixed(n, f) == 0 }

// longColumn compares a column of whole numbers with a constant, in one closure.
func longColumn(op string, slot int, kind event.Kind, y int64) fn[bool] {
	switch op {
	case "==":
		return func(row []event.Value) (bool, bool) { v := &row[slot]; return int64(v.Num) == y, v.Kind == kind }
	case "!=":
		return func(row []event.Value) (bool, bool) { v := &row[slot]; return int64(v.Num) != y, v.Kind == kind }
	case "<":
		return func(row []event.Value) (bool, bool) { v := &row[slot]; return int64(v.Num) < y, v.Kind == kind }
	case "<=":
		return func(row []event.Value) (bool, bool) { v := &row[slot]; return int64(v.Num) <= y, v.Kind == kind }
	case ">":
		return func(row []event.Value) (bool, bool) { v := &row[slot]; return int64(v.Num) > y, v.Kind == kind }
	}
	return func(row []event.Value) (bool, bool) { v := &row[slot]; return int64(v.Num) >= y, v.Kind == kind }
}

// doubleColumn compares a column of doubles with a constant, in one closure.
func doubleColumn(op string, slot int, y float64) fn[bool] {
	switch op {
	case "<":
		return func(row []event.Value) (bool, bool) { v := &row[slot]; return v.Double() < y, v.Kind == event.Double }
	case "<=":
		return func(row []event.Value) (bool, bool) { v := &row[slot]; return v.Double() <= y, v.Kind == event.Double }
	case ">":
		return func(row []event.Value) (bool, bool) { v := &row[slot]; return v.Double() > y, v.Kind == event.Double }
	case ">=":
		return func(row []event.Value) (bool, bool) { v := &row[slot]; return v.Double() >= y, v.Kind == event.Double }
	case "!=":
		return func(row []event.Value) (bool, bool) { v := &row[slot]; return v.Double() != y, v.Kind == event.Double }
	}
	return func(row []event.Value) (bool, bool) { v := &row[slot]; return v.Double() == y, v.Kind == event.Double }
}

// stringColumn tells whether a column of strings or bytes is y (or, if equal is false, is not).
func stringColumn(equal bool, slot int, kind event.Kind, y string) fn[bool] {
	return func(row []event.Value) (bool, bool) { v := &row[slot]; return (v.Str == y) == equal, v.Kind == kind }
}
