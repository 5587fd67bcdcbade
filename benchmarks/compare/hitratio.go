package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A hitRatio is one result of the command hitratio.
type hitRatio struct {
	Trace    string  `json:"trace"`
	Share    float64 `json:"capacity_share"`
	Capacity int     `json:"capacity"`
	Policy   string  `json:"policy"`
	HitRatio float64 `json:"hit_ratio"`
}

// readHitRatios reads none from no file.
func readHitRatios(path string) ([]hitRatio, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path) //nolint:gosec // the user's choice
	if err != nil {
		return nil, err
	}
	var all []hitRatio
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i, h := range all {
		if h.Trace == "" || h.Policy == "" || !(h.HitRatio >= 0 && h.HitRatio <= 1) {
			return nil, fmt.Errorf("%s: result %d: want a trace, a policy and a hit_ratio from 0 to 1, got %+v", path, i, h)
		}
	}
	return all, nil
}

// byCache groups results of one trace and size.
func byCache(all []hitRatio) [][]hitRatio {
	var groups [][]hitRatio
	for _, h := range all {
		at := slices.IndexFunc(groups, func(g []hitRatio) bool { return g[0].Trace == h.Trace && g[0].Share == h.Share })
		if at < 0 {
			at = len(groups)
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], h)
	}
	return groups
}

func hitRatioMarkdown(all []hitRatio) string {
	if len(all) == 0 {
		return ""
	}
	var policies []string
	for _, h := range all {
		if !slices.Contains(policies, h.Policy) {
			policies = append(policies, h.Policy)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| hit ratio, in percent | %s |\n|---|%s\n", strings.Join(policies, " | "), strings.Repeat("---|", len(policies)))
	for _, g := range byCache(all) {
		fmt.Fprintf(&b, "| %s, %s |", g[0].Trace, share(g[0]))
		for _, p := range policies {
			text := ""
			for _, h := range g {
				if h.Policy == p {
					text = fmt.Sprintf("%.2f", 100*h.HitRatio)
				}
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func share(h hitRatio) string { return fmt.Sprintf("%g %%", 100*h.Share) }

func hitRatioCharts(all []hitRatio) []barChart {
	var charts []barChart
	for _, g := range byCache(all) {
		slices.SortStableFunc(g, func(a, b hitRatio) int { return cmp.Compare(b.HitRatio, a.HitRatio) })
		c := barChart{Title: g[0].Trace + ", " + share(g[0]), Unit: fmt.Sprintf("%d entries", g[0].Capacity), Height: rowHeight*len(g) + 8}
		for i, h := range g {
			width := h.HitRatio * barsWidth
			b := newBar(i, h.Policy, fmt.Sprintf("%.2f %%", 100*h.HitRatio), width, width, width)
			b.Ours = strings.HasPrefix(h.Policy, ours)
			c.Bars = append(c.Bars, b)
		}
		charts = append(charts, c)
	}
	return charts
}
