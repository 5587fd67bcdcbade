package report

import (
	"fmt"
	"io"

	"github.com/snowfence/snowfence/internal/atomicfile"
	"github.com/snowfence/snowfence/internal/series"
)

// Chart is a drawing of values over time, in seconds since the start of the run,
// or over another quantity that XLabel names.
type Chart struct {
	Title string `json:"title"`
	// Unit says what the values are, such as "events/s". It stands above the
	// y axis.
	Unit string `json:"unit"`
	// Quantity says how the values are written. A Seconds value is in seconds,
	// a Bytes value in bytes.
	Quantity Quantity `json:"quantity,omitempty"`
	// Caption is a sentence below the chart: what to look for.
	Caption string `json:"caption,omitempty"`
	// Log draws the y axis logarithmic. Values of 0 or below are gaps then.
	Log bool `json:"log,omitempty"`
	// XLabel names the x axis. Empty means that it is time.
	XLabel string `json:"x_label,omitempty"`
	// XLog draws the x axis logarithmic. Points at 0 or below are left out then.
	XLog bool `json:"x_log,omitempty"`
	// Wide gives the chart the whole width of the page.
	Wide bool `json:"-"`
	// Tall doubles the height of the plot, for lines that lie close together.
	Tall    bool     `json:"-"`
	Lines   []Line   `json:"lines"`
	Windows []Window `json:"windows,omitempty"`
	Marks   []Mark   `json:"marks,omitempty"`
	// XRange and YRange fix an axis, from low to high, so that charts can be
	// compared. The zero value means that the data decide; the charts of one
	// report share the x axis in any case.
	XRange [2]float64 `json:"-"`
	YRange [2]float64 `json:"-"`
}

// Line is one series of a chart. The T of a point is its place on the x axis,
// whatever that is. Points need not be in order. A NaN or
// infinite value is a gap. Long series are thinned out for drawing so that
// their spikes stay.
type Line struct {
	series.Series
	Role Role `json:"role,omitempty"`
	// Bold draws the line wider than the others.
	Bold bool `json:"-"`
}

// Role gives a line the look that its kind has in every chart. The second line
// of one role in a chart is thinner and has markers, for example p50 beside p99.
type Role string

// The roles. Plain lines take what looks the others leave, in turn.
const (
	Plain  Role = ""
	FixOff Role = "off"
	FixOn  Role = "on"
	Stale  Role = "stale" // the fix is on, and stale values are given
)

// Quantity is what the numbers of an axis are.
type Quantity string

// The quantities.
const (
	Number  Quantity = ""
	Seconds Quantity = "seconds"
	Bytes   Quantity = "bytes"
)

// Window is a shaded stretch of time, such as the fault.
type Window struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Label string  `json:"label"`
}

// Mark is a vertical line at a moment, such as the recovery.
type Mark struct {
	At    float64 `json:"at"`
	Label string  `json:"label"`
}

// WriteSVG writes the chart as an SVG document of its own. It brings its own
// background and follows the reader's theme, so it can be read on a light and
// on a dark page alike. The error is that of w.
func (c *Chart) WriteSVG(w io.Writer) error {
	width := narrowWidth
	if c.Wide {
		width = wideWidth
	}
	if _, err := io.WriteString(w, c.layOut(width, true).standalone()); err != nil {
		return fmt.Errorf("chart %q: %w", c.Title, err)
	}
	return nil
}

// WriteSVGFile is WriteSVG into a file, which is replaced whole or not at all.
// It makes the folder if need be.
func (c *Chart) WriteSVGFile(path string) error { return atomicfile.Write(path, c.WriteSVG) }
