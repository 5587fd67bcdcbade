package snowball

import (
	"math"
	"time"

	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/series"
)

const (
	// recovered is the least part of the healthy events offered that a service serves which has
	// recovered.
	recovered = 0.95
	// steady is the time for which it must do so. Within a shorter one the moment in which a crowded
	// service catches up would be taken for its recovery.
	steady = 500 * time.Millisecond
)

// recovery returns the seconds from the end of the window until healthy throughput was back for
// good and the queue empty, and NaN if that was not within the run.
func recovery(line phase.Line, queue int, healthy, offered, depth series.Series) float64 {
	// A queue of a healthy service holds what came in the last moment.
	empty := max(2, float64(queue)/50)
	steady := min(steady, (line.Stop-line.End)/2)
	var span []int // of samples, all with an empty queue
	for i, p := range healthy.Points {
		// A sample stands at the end of its interval.
		if p.T <= line.End.Seconds() || p.Gap() {
			continue
		}
		if depth.Points[i].V > empty {
			span = span[:0]
			continue
		}
		span = append(span, i)
		begin := healthy.Points[span[0]].T
		if p.T-begin < steady.Seconds() {
			continue
		}
		done, due := 0.0, 0.0
		for _, j := range span {
			done, due = done+healthy.Points[j].V, due+offered.Points[j].V
		}
		if due > 0 && done >= recovered*due {
			first := healthy.Points[1].T - healthy.Points[0].T // an interval
			return max(0, begin-first-line.End.Seconds())
		}
		span = span[1:]
	}
	return math.NaN()
}
