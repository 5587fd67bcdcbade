package series

import (
	"math"
	"slices"
	"strconv"
)

// Series is a named line of points in order of time.
type Series struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`
}

// Point is one sample: the value V at T seconds since the start of the run. NaN or an infinite V is
// a gap.
type Point struct {
	T, V float64
}

// Gap reports whether p has no finite value.
func (p Point) Gap() bool { return math.IsNaN(p.V) || math.IsInf(p.V, 0) }

// MarshalJSON writes [t, v], with null for a gap, because JSON has no NaN.
func (p Point) MarshalJSON() ([]byte, error) {
	return []byte("[" + jsonNumber(p.T) + "," + jsonNumber(p.V) + "]"), nil
}

// Range returns the smallest and the largest value that is no gap. ok is false if there is none.
func (s Series) Range() (low, high float64, ok bool) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, p := range s.Points {
		if p.Gap() {
			continue
		}
		low, high, ok = min(low, p.V), max(high, p.V), true
	}
	if !ok {
		return 0, 0, false
	}
	return low, high, true
}

// Ordered returns a copy of the points of s in order of time, without those whose time is NaN.
// Points of one time keep their order.
func (s Series) Ordered() []Point {
	points := make([]Point, 0, len(s.Points))
	for _, p := range s.Points {
		if !math.IsNaN(p.T) && !math.IsInf(p.T, 0) {
			points = append(points, p)
		}
	}
	slices.SortStableFunc(points, func(a, b Point) int {
		switch {
		case a.T < b.T:
			return -1
		case a.T > b.T:
			return 1
		}
		return 0
	})
	return points
}

func jsonNumber(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "null"
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.FormatFloat(f, format, -1, 64)
}
