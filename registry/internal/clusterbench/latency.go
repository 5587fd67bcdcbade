package clusterbench

import (
	"fmt"

	"github.com/snowfence/snowfence/internal/measured"
)

// figuresOf returns the percentiles of times.
func figuresOf(t *measured.Times, what string, percents ...float64) []figure {
	var all []figure
	for _, p := range percents {
		all = append(all, figure{fmt.Sprintf("%s, %gth percentile", what, p), seconds,
			t.At(p).Seconds()})
	}
	return all
}
