package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/series"
)

//go:embed style.css
var chartCSS string

const (
	narrowWidth = 640.0
	wideWidth   = 1180.0
	// The margins are fixed, so that the time axes of charts above one another
	// line up.
	marginLeft  = 72.0
	marginRight = 18.0
	// buckets bounds what one line costs: up to three points for each.
	buckets = 600
	// legendGlyph is the width that a legend allows for a character. It is on
	// the generous side, because the reader's font is not known.
	legendGlyph = 7.4
	longestName = 60
)

// drawing is a chart on its way to SVG.
type drawing struct {
	strings.Builder
	chart                    *Chart
	x, y                     axis
	width, height            float64
	left, right, top, bottom float64
	lines                    []drawnLine
	alone                    bool // an SVG file, with its own title and legend
}

type drawnLine struct {
	look
	name      string
	points    []series.Point
	low, high float64
	ok        bool
}

// inline returns the chart for a page that has the style sheet, the title and the legend. id makes
// the references between its elements unique in the page. It has no title elements: they would
// cover the values that the page shows for the place that is pointed at.
func (d *drawing) inline(id string) string {
	fmt.Fprintf(d, `<svg class="chart plot" viewBox="0 0 %s %s" data-plot="%s %s %s %s" role="img" `+
		`aria-label="%s" aria-describedby="%s-d">`+"\n", px(d.width), px(d.height), px(d.left),
		px(d.right), px(d.top), px(d.bottom), esc(d.chart.Title), id)
	fmt.Fprintf(d, `<desc id="%s-d">%s</desc>`+"\n", id, esc(d.describe()))
	d.plot(id)
	return d.String()
}

func (d *drawing) standalone() string {
	fmt.Fprintf(d, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 %s %s" width="%s" `+
		`height="%s" role="img" aria-labelledby="chart-t chart-d">`+"\n",
		px(d.width), px(d.height), px(d.width), px(d.height))
	fmt.Fprintf(d, `<title id="chart-t">%s</title><desc id="chart-d">%s</desc>`+"\n",
		esc(d.chart.Title), esc(d.describe()))
	fmt.Fprintf(d, "<style>\n%s</style>\n", chartCSS)
	fmt.Fprintf(d, `<rect class="card" x="0.5" y="0.5" width="%s" height="%s" rx="8"/>`+"\n",
		px(d.width-1), px(d.height-1))
	d.heading()
	d.plot("chart")
	return d.String()
}

// plot draws what both kinds have, and ends the document.
func (d *drawing) plot(id string) {
	fmt.Fprintf(d, `<clipPath id="%s-c"><rect x="%s" y="%s" width="%s" height="%s"/></clipPath>`+"\n",
		id, px(d.left), px(d.top-2), px(d.right-d.left), px(d.bottom-d.top+4))
	d.windows()
	d.axes()
	fmt.Fprintf(d, `<g clip-path="url(#%s-c)">`+"\n", id)
	drawn := false
	for i, l := range d.lines {
		drawn = d.line(i, l) || drawn
	}
	d.WriteString("</g>\n")
	d.marks()
	if !drawn {
		d.text((d.left+d.right)/2, (d.top+d.bottom)/2, "", "middle", "no data")
	}
	d.WriteString("</svg>\n")
}

// layOut puts points in order, gives each line its look, and fixes both axes
// and the edges of the plot.
func (c *Chart) layOut(width float64, alone bool) *drawing {
	d := &drawing{chart: c, width: width, alone: alone}
	looks := c.looks()
	low, high, found := math.Inf(1), math.Inf(-1), false
	for i, l := range c.Lines {
		s := series.Series{Points: c.inOrder(l)}
		if c.Log {
			for i, p := range s.Points {
				if p.V <= 0 {
					s.Points[i].V = math.NaN()
				}
			}
		}
		drawn := drawnLine{name: l.Name, look: looks[i]}
		if drawn.low, drawn.high, drawn.ok = s.Range(); drawn.ok {
			low, high, found = min(low, drawn.low), max(high, drawn.high), true
		}
		drawn.points = series.Downsample(s.Points, buckets)
		d.lines = append(d.lines, drawn)
	}
	from, to := c.span()
	if c.XLog {
		d.x = halfDecades(from, to)
	} else {
		d.x = linear(from, to, 10, Number, true)
	}
	fixed := c.YRange[1] > c.YRange[0]
	if fixed {
		low, high, found = c.YRange[0], c.YRange[1], true
	}
	switch {
	case c.Log && found && low > 0:
		d.y = logarithmic(low, high, c.Quantity, fixed)
	case c.Log:
		d.y = logarithmic(1, 10, c.Quantity, false)
	case found:
		d.y = linear(low, high, 6, c.Quantity, fixed)
	default:
		d.y = linear(0, 1, 5, c.Quantity, false)
	}
	d.left, d.right = marginLeft, d.width-marginRight
	d.top = 26 // room for the labels of windows
	if alone {
		rows := 1
		d.eachKey(func(_, row float64, _ drawnLine) { rows = int(row) + 1 })
		d.top = 57 + 20*float64(rows)
	}
	plot := 260.0
	if alone && width == narrowWidth {
		plot = 200
	}
	if c.Tall {
		plot *= 2
	}
	d.bottom = d.top + plot
	d.height = d.bottom + 46
	return d
}

// inOrder returns the points of l that have a place on the x axis, in its order.
func (c *Chart) inOrder(l Line) []series.Point {
	points := l.Ordered()
	if c.XLog {
		points = slices.DeleteFunc(points, func(p series.Point) bool { return p.T <= 0 })
	}
	return points
}

// span returns the range of the x axis: the fixed one, else that of the data,
// else that of the windows.
func (c *Chart) span() (from, to float64) {
	if c.XRange[1] > c.XRange[0] {
		return c.XRange[0], c.XRange[1]
	}
	from, to = math.Inf(1), math.Inf(-1)
	for _, l := range c.Lines {
		if p := c.inOrder(l); len(p) > 0 {
			from, to = min(from, p[0].T), max(to, p[len(p)-1].T)
		}
	}
	if from > to {
		for _, w := range c.Windows {
			if finite(w.From) && finite(w.To) {
				from, to = min(from, w.From), max(to, w.To)
			}
		}
	}
	switch {
	case c.XLog && from >= to:
		return 1, 10
	case c.XLog:
		return from, to
	case from > to:
		return 0, 1
	case from == to:
		return from - 0.5, to + 0.5
	case from > 0 && from < (to-from)/5:
		from = 0 // The first sample comes one interval after the start.
	}
	return from, to
}

func (d *drawing) heading() {
	fmt.Fprintf(d, `<text x="20" y="30" class="title">%s`, esc(short(d.chart.Title, d.width/11)))
	if unit := d.unit(); unit != "" {
		fmt.Fprintf(d, ` <tspan class="unit" dx="5">%s</tspan>`, esc(short(unit, 60)))
	}
	d.WriteString("</text>\n")
	d.eachKey(func(x, row float64, l drawnLine) {
		y := 53 + 20*row
		d.WriteString(l.sample(x, y-4.5))
		d.text(x+38, y, "key", "start", short(l.name, longestName))
	})
}

// unit returns what stands above the y axis. It says so where the axis does not start at 0.
func (d *drawing) unit() string { return d.y.named(d.chart.Unit, d.chart.value) }

// eachKey lays the legend out in rows.
func (d *drawing) eachKey(f func(x, row float64, l drawnLine)) {
	x, row := 20.0, 0.0
	for _, l := range d.lines {
		w := 38 + legendGlyph*float64(utf8.RuneCountInString(short(l.name, longestName))) + 18
		if x > 20 && x+w > d.width-marginRight {
			x, row = 20, row+1
		}
		f(x, row, l)
		x += w
	}
}

func (d *drawing) axes() {
	for _, t := range d.y.ticks {
		y := d.py(t.value)
		name := "grid"
		if t.value == d.y.low {
			name = "base"
		}
		fmt.Fprintf(d, `<path class="%s" d="M%s,%sH%s"/>`, name, px(d.left), px(y), px(d.right))
		d.text(d.left-9, y+4.5, "num", "end", t.label)
	}
	for _, t := range d.x.ticks {
		x := d.px(t.value)
		fmt.Fprintf(d, `<path class="base" d="M%s,%sv5"/>`, px(x), px(d.bottom))
		d.text(x, d.bottom+20, "num", "middle", t.label)
	}
	label := d.x.named(cmp.Or(d.chart.XLabel, "seconds since start"), human.Number)
	d.text((d.left+d.right)/2, d.bottom+38, "axis", "middle", short(label, d.width/legendGlyph))
}

func (d *drawing) windows() {
	for _, w := range d.chart.Windows {
		from, to := max(w.From, d.x.low), min(w.To, d.x.high)
		if !(to > from) {
			continue
		}
		x0, x1 := d.px(from), d.px(to)
		fmt.Fprintf(d, `<rect class="window" x="%s" y="%s" width="%s" height="%s"/>`, px(x0), px(d.top),
			px(x1-x0), px(d.bottom-d.top))
		fmt.Fprintf(d, `<path class="edge" d="M%s,%sV%sM%s,%sV%s"/>`, px(x0), px(d.top), px(d.bottom),
			px(x1), px(d.top), px(d.bottom))
		label := short(w.Label, longestName)
		half := legendGlyph * float64(utf8.RuneCountInString(label)) / 2
		d.text(max(d.left+half, min((x0+x1)/2, d.right-half)), d.top-5, "wlabel", "middle", label)
	}
}

func (d *drawing) marks() {
	for i, m := range d.chart.Marks {
		if !(m.At >= d.x.low && m.At <= d.x.high) {
			continue
		}
		x := d.px(m.At)
		fmt.Fprintf(d, `<path class="mark" d="M%s,%sV%s"/>`, px(x), px(d.top), px(d.bottom))
		anchor, dx := "start", 5.0
		if x > (d.left+d.right)/2 {
			anchor, dx = "end", -5.0
		}
		// Labels of marks that are close to each other stand on lines of their own.
		d.text(x+dx, d.top+14+16*float64(i%4), "", anchor, short(m.Label, longestName))
	}
}

// line draws one line, broken at gaps, and reports whether there was any point.
func (d *drawing) line(i int, l drawnLine) bool {
	if !l.ok {
		return false
	}
	d.WriteString("<g>")
	if d.alone {
		fmt.Fprintf(d, `<title>%s</title>`, esc(l.name+": "+d.summary(l)))
	}
	var path strings.Builder
	for i := 0; i < len(l.points); {
		if l.points[i].Gap() {
			i++
			continue
		}
		end := i
		for end < len(l.points) && !l.points[end].Gap() {
			end++
		}
		if end == i+1 {
			// A path of one point has no length and would not be seen.
			fmt.Fprintf(d, `<circle class="dot %s" cx="%s" cy="%s" r="3"/>`, l.class,
				px(d.px(l.points[i].T)), px(d.py(l.points[i].V)))
		} else {
			for k := i; k < end; k++ {
				verb := "L"
				if k == i {
					verb = "M"
				}
				path.WriteString(verb + px(d.px(l.points[k].T)) + "," + px(d.py(l.points[k].V)))
			}
		}
		i = end
	}
	if path.Len() > 0 {
		fmt.Fprintf(d, `<path class="line %s" d="%s"/>`, l.class, path.String())
	}
	d.markers(i, l)
	d.WriteString("</g>\n")
	return true
}

// markers draws the shape of line i, if it has one, on some of its points: not where the shapes of
// other lines are, so that lines that run together can still be told apart.
func (d *drawing) markers(i int, l drawnLine) {
	if l.shape == "" {
		return
	}
	every := (d.right - d.left) / 8
	next := d.left + every*(float64(i)+0.5)/float64(len(d.lines))
	var path strings.Builder
	for _, p := range l.points {
		x := d.px(p.T)
		if p.Gap() || x < next || x > d.right {
			continue
		}
		for next <= x {
			next += every
		}
		path.WriteString("M" + px(x) + "," + px(d.py(p.V)) + l.shape)
	}
	fmt.Fprintf(d, `<path class="dot %s" d="%s"/>`, l.class, path.String())
}

// describe says in words what the picture shows.
func (d *drawing) describe() string {
	over, unit := "time", " seconds"
	if d.chart.XLabel != "" {
		over, unit = d.chart.XLabel, ""
	}
	parts := []string{fmt.Sprintf("Line chart over %s, from %s to %s%s, in %s.",
		over, human.Number(d.x.low), human.Number(d.x.high), unit, d.chart.Unit)}
	for _, l := range d.lines {
		parts = append(parts, l.name+": "+d.summary(l)+".")
	}
	for _, w := range d.chart.Windows {
		parts = append(parts, fmt.Sprintf("%s: %s to %s seconds.", w.Label, human.Number(w.From),
			human.Number(w.To)))
	}
	for _, m := range d.chart.Marks {
		parts = append(parts, fmt.Sprintf("%s: at %s seconds.", m.Label, human.Number(m.At)))
	}
	return strings.Join(parts, " ")
}

func (d *drawing) summary(l drawnLine) string {
	if !l.ok {
		return "no data"
	}
	return fmt.Sprintf("lowest %s, highest %s", d.chart.value(l.low), d.chart.value(l.high))
}

// value writes a value of the y axis.
func (c *Chart) value(v float64) string {
	switch c.Quantity {
	case Seconds:
		return human.Seconds(v)
	case Bytes:
		return human.Bytes(v)
	}
	return human.Number(v)
}

func (d *drawing) text(x, y float64, class, anchor, s string) {
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(d, `<text x="%s" y="%s"%s text-anchor="%s">%s</text>`+"\n", px(x), px(y), class,
		anchor, esc(s))
}

// px and py place values on the page. What is far off a fixed axis stays near
// the plot, where the clip path hides it, so that coordinates remain sane.
func (d *drawing) px(t float64) float64 {
	return d.left + near(d.x.at(t))*(d.right-d.left)
}

func (d *drawing) py(v float64) float64 {
	return d.bottom - near(d.y.at(v))*(d.bottom-d.top)
}

func near(share float64) float64 { return max(-1, min(2, share)) }

func px(f float64) string {
	return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64)
}

// short cuts what would run out of the picture; the description has it whole.
func short(s string, runes float64) string {
	if r := []rune(s); len(r) > int(runes) {
		return string(r[:int(runes)-1]) + "…"
	}
	return s
}

// esc makes text safe in XML, which has no way to write most control
// characters.
func esc(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0xFFFE || r == 0xFFFF || (r >= 0x7F && r < 0xA0) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
