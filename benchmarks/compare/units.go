package main

import (
	"fmt"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
)

// unitName returns the description of a unit for people.
func unitName(unit string) string {
	switch unit {
	case "sec/op":
		return "time per operation"
	case "B/op":
		return "bytes allocated per operation"
	case "allocs/op":
		return "allocations per operation"
	case "B/entry":
		return "bytes per entry"
	case "B-left/entry":
		return "bytes left of each entry after 99 of 100 were deleted"
	case "ms/gc":
		return "a garbage collection, in ms"
	case "%gc-cpu":
		return "CPU share of garbage collections, in %"
	case "µs-pause":
		return "longest pause, in µs"
	case "cpu-sec":
		return "processor time per operation"
	case "p99.9-sec":
		return "99.9th percentile"
	case "%failed":
		return "failed, in %"
	case "misses/100op":
		return "misses, in %"
	default:
		return unit
	}
}

// format returns a value with its unit.
func format(unit string, v float64) string {
	switch {
	case unit == "sec/op" || strings.HasSuffix(unit, "-sec"):
		return formatSeconds(v)
	case strings.HasPrefix(unit, "B"):
		return human.Bytes(v)
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// formatSeconds returns a time with three significant digits.
func formatSeconds(v float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"ns", 1e-9}, {"µs", 1e-6}, {"ms", 1e-3}, {"s", 1}} {
		x := v / u.size
		switch {
		case x >= 999.5 && u.name != "s":
			continue
		case x >= 100:
			return fmt.Sprintf("%.0f %s", x, u.name)
		case x >= 10:
			return fmt.Sprintf("%.1f %s", x, u.name)
		default:
			return fmt.Sprintf("%.2f %s", x, u.name)
		}
	}
	return ""
}
