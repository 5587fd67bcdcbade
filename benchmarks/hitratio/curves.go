package main

import (
	"fmt"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
)

// curves returns a chart of the results of one trace: the hit ratio of each policy over the
// capacity.
func curves(t trace, results []result) *report.Chart {
	c := &report.Chart{
		Title: t.name,
		Unit:  "hits, % of requests",
		XLabel: fmt.Sprintf("capacity, %% of the %s distinct keys (logarithmic)",
			human.Count(int64(t.distinct))),
		XLog: true,
		Tall: true,
	}
	at := make(map[string]int)
	for _, r := range results {
		i, ok := at[r.Policy]
		if !ok {
			i = len(c.Lines)
			at[r.Policy] = i
			c.Lines = append(c.Lines, report.Line{
				Series: series.Series{Name: r.Policy},
				Bold:   strings.HasPrefix(r.Policy, "snowfence"),
			})
		}
		c.Lines[i].Points = append(c.Lines[i].Points,
			series.Point{T: 100 * r.Share, V: 100 * r.HitRatio})
	}
	return c
}

// fileName returns the name of a trace's picture.
func fileName(trace string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(trace), ".gz"), ".arc")
	return "hitratio-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, name) + ".svg"
}
