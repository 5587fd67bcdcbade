package clusterbench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencies are a histogram of durations. The zero value is empty; for one goroutine.
type latencies struct{ h *hdrhistogram.Histogram }

const longest = time.Minute

func (l *latencies) add(d time.Duration) {
	l.init()
	_ = l.h.RecordValue(int64(min(d, longest))) // the only error is that of a value out of range
}

func (l *latencies) merge(o *latencies) {
	if o.h != nil {
		l.init()
		l.h.Merge(o.h)
	}
}

func (l *latencies) init() {
	if l.h == nil {
		l.h = hdrhistogram.New(1, int64(longest), 3)
	}
}

// quantile returns a percentile; 0 if there is nothing.
func (l *latencies) quantile(percent float64) time.Duration {
	if l.h == nil {
		return 0
	}
	return time.Duration(l.h.ValueAtQuantile(percent))
}

func (l *latencies) figures(what string, percents ...float64) []figure {
	var all []figure
	for _, p := range percents {
		all = append(all, figure{fmt.Sprintf("%s, %gth percentile", what, p), seconds,
			l.quantile(p).Seconds()})
	}
	return all
}
