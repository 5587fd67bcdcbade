package main

import (
	"cmp"
	"fmt"
	"slices"
)

// A barChart shows a measurement: a bar per library, the shortest first.
type barChart struct {
	Title, Unit string
	Height      int
	Bars        []bar
}

type bar struct {
	Lib, Text     string
	Ours          bool
	Y             int
	Width         float64
	Low, High     float64 // where the extremes of the rounds are
	TextX         float64
	Middle, Lower int // of the row
}

const (
	rowHeight = 24
	barsLeft  = 150.0
	barsWidth = 300.0
)

func (m *measurement) chart() barChart {
	libs := slices.Clone(m.libs)
	slices.SortStableFunc(libs, func(a, b string) int { return cmp.Compare(median(m.by[a]), median(m.by[b])) })
	most := 0.0
	for _, values := range m.by {
		most = max(most, slices.Max(values))
	}
	c := barChart{Title: m.title(), Unit: unitName(m.unit), Height: rowHeight*len(libs) + 8}
	scale := func(v float64) float64 {
		if most == 0 {
			return 0
		}
		return v / most * barsWidth
	}
	for i, lib := range libs {
		mid := median(m.by[lib])
		text := format(m.unit, mid)
		if x, ok := m.against(lib); ok && lib != ours {
			text += fmt.Sprintf("  ×%.2f", x.median)
		}
		high := scale(slices.Max(m.by[lib]))
		c.Bars = append(c.Bars, bar{
			Lib: lib, Text: text, Ours: lib == ours, Y: i*rowHeight + 4, Width: max(1, scale(mid)),
			Low: barsLeft + scale(slices.Min(m.by[lib])), High: barsLeft + high, TextX: barsLeft + high + 8,
			Middle: i*rowHeight + 4 + rowHeight/2 - 2, Lower: i*rowHeight + 4 + rowHeight/2 + 3,
		})
	}
	return c
}
