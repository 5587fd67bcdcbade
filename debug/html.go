package debug

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // of the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/human"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// policy lets the page use its own style sheet and script, fetch itself, and nothing else.
var policy = strings.Join([]string{
	"default-src 'none'", "img-src data:", "style-src " + hashOf(pageCSS),
	"script-src " + hashOf(pageJS),
	"connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
}, "; ")

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"css":      func() template.CSS { return template.CSS(pageCSS) }, //nolint:gosec // the program's
	"js":       func() template.JS { return template.JS(pageJS) },    //nolint:gosec // as above
	"seconds":  func(s float64) string { return human.Duration(seconds(s)) },
	"count":    group,
	"percent":  shortPercent,
	"ratio":    func(r *float64) string { return shortPercent(*r) },
	"rate":     human.Rate,
	"plural":   human.Plural,
	"words":    words,
	"clock":    func(t time.Time) string { return t.Local().Format(time.TimeOnly) },
	"ago":      func(now, t time.Time) string { return human.Duration(max(0, now.Sub(t))) },
	"until":    func(now, t time.Time) string { return human.Duration(max(0, t.Sub(now))) },
	"join":     func(list []string) string { return strings.Join(list, ", ") },
	"place":    Flight.place,
	"member":   Member.state,
	"trouble":  Member.trouble,
	"bars":     bars,
	"isBad":    isBad,
	"id":       func(parts ...any) string { return strings.TrimSuffix(fmt.Sprintln(parts...), "\n") },
	"counters": (*Section).counters,
	"tiles":    (*Section).tiles,
	"width":    func(share float64, of int) int { return int(math.Round(share * float64(of))) },
	"hottest":  func(h *Hottest) float64 { return h.Keys[0].Share },
	"div":      func(a, b float64) float64 { return a / b },
	"slots":    slotsOf,
	"few":      func(a []Attention) []Attention { return a[:min(len(a), fewAttention)] },
	"rest":     func(a []Attention) int { return max(0, len(a)-fewAttention) },
	"fewRows":  func(f []Flight) []Flight { return f[:min(len(f), fewRows)] },
	"restRows": func(f []Flight) []Flight { return f[min(len(f), fewRows):] },
	"rows": func(s *Section, f []Flight) map[string]any {
		return map[string]any{"Name": s.Name, "Rows": f}
	},
	"source": func(v *Snapshot, s *Section) map[string]any {
		return map[string]any{"View": v, "S": s}
	},
}).Parse(pageHTML))

const (
	// fewAttention bounds the lines that come before all sources.
	fewAttention = 20
	// fewRows is the number of flights that are not folded.
	fewRows = 8
)

func writeHTML(to *bytes.Buffer, v *Snapshot) error { return page.Execute(to, v) }

// group formats a number with commas between thousands.
func group(n any) string {
	switch n := n.(type) {
	case int:
		return human.Count(n)
	case uint64:
		return human.Count(n)
	default:
		return fmt.Sprint(n)
	}
}

// shortPercent formats a share with one decimal, and never as 0 or 100 % unless it is.
func shortPercent(share float64) string {
	text := fmt.Sprintf("%.1f %%", 100*share)
	if share > 0 && text == "0.0 %" || share < 1 && text == "100.0 %" {
		return human.Percent(share)
	}
	return text
}

// isBad reports whether loads that ended like that are shown in the colour of failures.
func isBad(end string) bool {
	return end != "" && end != "value" && end != "answer" && end != "cancelled" && end != "closed"
}

// A tile is a number that is shown large.
type tile struct {
	Name, Value, Note string
	Bad               bool
}

// tiles returns the numbers of s that are shown large.
func (v *Section) tiles() (list []tile) {
	recent := ""
	if v.WindowSeconds > 0 {
		recent = "last " + human.Plain(seconds(math.Round(v.WindowSeconds)))
	}
	switch {
	case v.RecentHitRatio != nil:
		list = append(list, tile{"hit ratio", shortPercent(*v.RecentHitRatio), recent, false})
	case v.HitRatio != nil:
		list = append(list, tile{"hit ratio", shortPercent(*v.HitRatio), "since the start", false})
	}
	rate := func(name string, counts ...string) {
		if v.PerSecond == nil {
			total := uint64(0)
			for _, c := range counts {
				total += v.Counts[c]
			}
			list = append(list, tile{name, human.Count(total), "since the start", false})
			return
		}
		sum := 0.0
		for _, c := range counts {
			sum += v.PerSecond[c]
		}
		list = append(list, tile{name, human.Rate(sum), recent, false})
	}
	if _, ok := v.Counts["hits"]; ok {
		rate("gets", "hits", "misses")
		rate("loads", "loads")
	} else {
		rate("flights", "flights")
	}
	list = append(list,
		tile{"in flight", human.Count(v.Counts["in_flight"]), "now", false},
		tile{"callers waiting", human.Count(v.Counts["waiting"]), "now", false},
		tile{"abandoned", human.Count(v.Counts["abandoned"]), "now", v.Counts["abandoned"] > 0})
	if n, ok := v.Counts["entries"]; ok {
		list = append(list, tile{"entries", human.Count(n), "now", false})
	}
	return list
}

// A counter is a row of the table of all counts.
type counter struct {
	Name, Value, Rate string
	Bad               bool
}

func (v *Section) counters() (list []counter) {
	for _, c := range v.counts {
		row := counter{Name: words(c.Name), Value: human.Count(c.Value)}
		if rate := v.PerSecond[c.Name]; rate > 0 {
			row.Rate = human.Rate(rate)
			row.Bad = c.Attention != ""
		}
		row.Bad = row.Bad || c.Gauge && c.Attention != "" && c.Value > 0
		list = append(list, row)
	}
	return list
}

// A bar is a column of a histogram, in the units of its drawing.
type bar struct{ X, Y, Height int }

// The histograms of a source have one axis, in doublings of durations from firstDoubling to
// lastDoubling seconds: from a microsecond to two hours.
const (
	firstDoubling = -19
	lastDoubling  = 13
	barStep       = 5
	barHeight     = 24
)

// bars draws a histogram. The height is proportional to the root of the count, so that rare
// durations can be seen.
func bars(d Duration) (list []bar) {
	most := uint64(1)
	for _, b := range d.Buckets {
		most = max(most, b.Count)
	}
	for _, b := range d.Buckets {
		doubling := min(max(int(math.Round(math.Log2(b.Seconds))), firstDoubling), lastDoubling)
		height := max(2, int(math.Round(barHeight*math.Sqrt(float64(b.Count)/float64(most)))))
		list = append(list, bar{(doubling - firstDoubling) * barStep, barHeight - height, height})
	}
	return list
}

// A slotShare is the part of the slots that a member owns.
type slotShare struct {
	Node     string
	Slots    int
	X, Width float64
	Colour   int
}

// slotColours is the number of colours that the style sheet has for members.
const slotColours = 6

// slotsOf returns the shares of the members, in units of a thousandth; none if there are no slots.
func slotsOf(members []Member) (list []slotShare) {
	all, x := 0, 0.0
	for _, m := range members {
		all += m.Slots
	}
	for i, m := range members {
		if m.Slots > 0 {
			width := 1000 * float64(m.Slots) / float64(all)
			list = append(list, slotShare{m.Node, m.Slots, x, width, i % slotColours})
			x += width
		}
	}
	return list
}
