package report

import (
	"math"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
)

// axis maps values to a length on the page.
type axis struct {
	low, high float64
	log       bool
	ticks     []tick
}

type tick struct {
	value float64
	label string
}

// widest keeps spans finite: the difference of two axis ends can't overflow.
const widest = 1e300

// linear makes an axis from low to high with about n ticks. Unless fixed, it
// starts at zero where nothing is below, and ends on a tick.
func linear(low, high float64, n int, q Quantity, fixed bool) axis {
	low, high = clamp(low), clamp(high)
	if !fixed {
		low = min(low, 0)
		high = max(high, 0)
	}
	// Neither an empty span nor one too small to be divided makes an axis.
	if !(high-low > 1e-290) {
		high = low + max(1, math.Abs(low)*0.1)
	}
	base := 1.0
	if q == Bytes {
		for base*1024 <= max(math.Abs(low), math.Abs(high)) && base < math.Pow(1024, 5) {
			base *= 1024
		}
	}
	step := niceStep((high-low)/base, n) * base
	if !fixed {
		// A line on the very edge is hard to see, so a near miss gets a step more.
		high = math.Ceil((high+(high-low)*0.02)/step) * step
		low = math.Floor(low/step) * step
	}
	a := axis{low: low, high: high}
	for i := math.Ceil(low/step - 1e-9); i*step <= high+step*1e-9 && len(a.ticks) < 4*n+4; i++ {
		v := i * step
		a.ticks = append(a.ticks, tick{v, tickLabel(v, q)})
	}
	return a
}

// logarithmic makes an axis over whole decades; low and high are above zero.
func logarithmic(low, high float64, q Quantity, fixed bool) axis {
	low = max(1e-300, min(low, widest))
	high = max(low, min(high, widest))
	first, last := math.Floor(math.Log10(low)+1e-9), math.Ceil(math.Log10(high)-1e-9)
	if last <= first {
		last = first + 1
	}
	a := axis{low: low, high: high, log: true}
	if !fixed || !(high > low) {
		a.low, a.high = math.Pow(10, first), math.Pow(10, last)
	}
	every := math.Max(1, math.Ceil((last-first)/6))
	for e := first; e <= last; e += every {
		v := math.Pow(10, e)
		if v >= a.low*0.999 && v <= a.high*1.001 {
			a.ticks = append(a.ticks, tick{v, tickLabel(v, q)})
		}
	}
	return a
}

// halfDecades makes a logarithmic axis from low to high, both above zero, with
// ticks at 1, 2 and 5 of each decade where these are few enough to be read.
func halfDecades(low, high float64) axis {
	a := logarithmic(low, high, Number, true)
	if a.high/a.low > 1e4 {
		return a
	}
	a.ticks = nil
	for e := math.Floor(math.Log10(a.low)); e <= math.Log10(a.high)+1e-9; e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v >= a.low*0.999 && v <= a.high*1.001 {
				a.ticks = append(a.ticks, tick{v, tickLabel(v, Number)})
			}
		}
	}
	return a
}

// at returns where v is, as a share of the axis. Off the axis it is off 0..1.
func (a axis) at(v float64) float64 {
	if a.log {
		return (math.Log(v) - math.Log(a.low)) / (math.Log(a.high) - math.Log(a.low))
	}
	return (clamp(v) - a.low) / (a.high - a.low)
}

// named adds to the name of an axis what a reader must know to compare heights or widths: that it
// is logarithmic, or where it starts if not at 0.
func (a axis) named(name string, value func(float64) string) string {
	note := ""
	switch {
	case a.log && !strings.Contains(name, "log scale") && !strings.Contains(name, "logarithmic"):
		note = "log scale"
	case !a.log && (a.low > 0 || a.high < 0):
		note = "from " + value(a.low) + ", not 0"
	}
	if name == "" || note == "" {
		return name + note
	}
	return name + ", " + note
}

// niceStep returns 1, 2 or 5 times a power of ten, so that span has n steps or
// fewer.
func niceStep(span float64, n int) float64 {
	rough := span / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 5} {
		if step := m * power; step >= rough*0.9999 {
			return step
		}
	}
	return 10 * power
}

func tickLabel(v float64, q Quantity) string {
	switch {
	case v == 0:
		return "0"
	case q == Seconds:
		return strings.Replace(human.Seconds(v), ".0 ", " ", 1)
	case q == Bytes:
		return strings.Replace(human.Bytes(v), ".0 ", " ", 1)
	}
	return human.SI(v)
}

func clamp(f float64) float64 { return max(-widest, min(widest, f)) }
