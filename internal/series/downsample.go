package series

// Downsample returns at most about three points for each of n equal slices of time: the smallest
// and the largest value, and a gap if there is one. It keeps the first and the last point, so
// spikes, gaps and the span survive. Points must be in order of time, as [Series.Ordered] returns
// them. It returns points itself if there are no more than 2n of them or n is below 1.
func Downsample(points []Point, n int) []Point {
	if n < 1 || len(points) <= 2*n {
		return points
	}
	first, last := points[0], points[len(points)-1]
	// Halved so that even the widest span is finite.
	span := last.T/2 - first.T/2
	slice := func(p Point) int {
		if span <= 0 {
			return 0
		}
		return min(int((p.T/2-first.T/2)/span*float64(n)), n-1)
	}
	out := make([]Point, 0, 3*n+2)
	out = append(out, first)
	for from := 1; from < len(points)-1; {
		to := from + 1
		for to < len(points)-1 && slice(points[to]) == slice(points[from]) {
			to++
		}
		out = appendExtremes(out, points[from:to])
		from = to
	}
	return append(out, last)
}

// appendExtremes appends the lowest, the highest and the first gap of points, in their order.
func appendExtremes(out, points []Point) []Point {
	low, high, gap := -1, -1, -1
	for i, p := range points {
		if p.Gap() {
			if gap < 0 {
				gap = i
			}
			continue
		}
		if low < 0 || p.V < points[low].V {
			low = i
		}
		if high < 0 || p.V > points[high].V {
			high = i
		}
	}
	for i, p := range points {
		if i == low || i == high || i == gap {
			out = append(out, p)
		}
	}
	return out
}
