package clusterbench

import (
	"slices"
	"time"

	"github.com/snowfence/snowfence/internal/table"
)

// A figure is one number that was measured.
type figure struct {
	what  string
	unit  unit
	value float64
}

// A unit says how a figure is written.
type unit int

const (
	seconds unit = iota
	perSecond
	bytes
	number
)

func (u unit) cell(v float64) table.Cell {
	switch u {
	case seconds:
		return table.Duration(time.Duration(v * float64(time.Second)))
	case perSecond:
		return table.Rate(v)
	case bytes:
		return table.Bytes(v)
	case number:
	}
	return table.Number(v)
}

// rate is how many per second n in d are.
func rate(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

// A spread holds a figure's values from several rounds.
type spread struct {
	unit   unit
	values []float64
}

// cell shows the median and, if there were several rounds, the lowest and the highest value.
func (s *spread) cell() table.Cell {
	v := slices.Sorted(slices.Values(s.values))
	if len(v) == 0 {
		return table.Missing()
	}
	median := (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	c := s.unit.cell(median)
	low, high := s.unit.cell(v[0]).String(), s.unit.cell(v[len(v)-1]).String()
	if low == high {
		return c
	}
	return c.As(c.String() + " (" + low + " – " + high + ")")
}
