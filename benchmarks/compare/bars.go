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
	slices.SortStableFunc(libs, func(a, b string) int {
		return cmp.Compare(median(m.by[a]), median(m.by[b]))
	})
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
		b := newBar(i, lib, text, scale(mid), scale(slices.Min(m.by[lib])), scale(slices.Max(m.by[lib])))
		b.Ours = lib == ours
		c.Bars = append(c.Bars, b)
	}
	return c
}

// newBar is the bar of row i, of that width and with extremes on either side.
func newBar(i int, lib, text string, width, low, high float64) bar {
	top := i*rowHeight + 4
	return bar{
		Lib: lib, Text: text, Y: top, Width: max(1, width), Low: barsLeft + low, High: barsLeft + high,
		TextX:  barsLeft + high + 8,
		Middle: top + rowHeight/2 - 2, Lower: top + rowHeight/2 + 3,
	}
}
