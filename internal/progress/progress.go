package progress

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"
)

// Line is a progress line. Its methods are safe for concurrent use, block only while the line is
// written, and ignore write errors.
type Line struct {
	options Options
	w       io.Writer

	// mu guards all fields below and serialises writes.
	mu      sync.Mutex
	active  bool
	label   string
	drawn   int // columns now on the screen
	last    time.Time
	pending bool // nothing drawn since Start
}

// Options configures a Line.
type Options struct {
	// Enabled turns the line on; otherwise nothing is written.
	Enabled bool
	// Width returns the number of columns of the terminal; nil, or a result below 1, means 80.
	Width func() int
	// Now returns the time, which limits redrawing; nil means time.Now.
	Now func() time.Time
}

const interval = 100 * time.Millisecond

// New returns a line that writes to w.
func New(w io.Writer, o Options) *Line {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Width == nil {
		o.Width = func() int { return 0 }
	}
	return &Line{w: w, options: o}
}

// ForFile returns a line on f, such as os.Stderr. It is enabled if f is a terminal that can redraw
// a line and quiet is false.
func ForFile(f *os.File, quiet bool) *Line {
	fd := int(f.Fd())
	return New(f, Options{
		Enabled: !quiet && term.IsTerminal(fd) && os.Getenv("TERM") != "dumb",
		Width: func() int {
			width, _, err := term.GetSize(fd)
			if err != nil {
				return 0
			}
			return width
		},
	})
}

// Start shows the line with a label, such as the name of the run. Another call replaces the label.
func (l *Line) Start(label string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active, l.pending, l.label = true, true, clean(label)
	l.draw(0, "")
}

// Update shows the completed fraction, clamped to 0 to 1, and a short text. Calls within a tenth of
// a second after the last drawing are skipped, unless the fraction is 1. Before Start and after
// Done it does nothing.
func (l *Line) Update(fraction float64, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fraction < 1 && !l.pending && l.options.Now().Sub(l.last) < interval {
		return
	}
	l.pending = false
	l.draw(fraction, clean(text))
}

// Done clears the line. It may be called at any time, and repeatedly.
func (l *Line) Done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = false
	if l.drawn > 0 {
		_, _ = io.WriteString(l.w, "\r"+strings.Repeat(" ", l.drawn)+"\r")
		l.drawn = 0
	}
}

// draw replaces the line on the screen. The caller holds mu.
func (l *Line) draw(fraction float64, text string) {
	if !l.active || !l.options.Enabled {
		return
	}
	l.last = l.options.Now()
	width := l.options.Width()
	if width < 1 {
		width = 80
	}
	// The last column stays empty, because writing to it may wrap.
	line := cut(render(l.label, fraction, text), width-1)
	columns := len([]rune(line))
	// A terminal that was made narrower has wrapped the line already; padding past its edge would
	// wrap more.
	pad := max(0, min(l.drawn, width-1)-columns)
	_, _ = io.WriteString(l.w, "\r"+line+strings.Repeat(" ", pad))
	l.drawn = columns
}

func render(label string, fraction float64, text string) string {
	if math.IsNaN(fraction) {
		fraction = 0
	}
	fraction = max(0, min(1, fraction))
	const cells = 24
	full := int(fraction * cells)
	bar := strings.Repeat("█", full) + strings.Repeat("░", cells-full)
	s := fmt.Sprintf("%s %3d %% ", bar, int(fraction*100))
	if label != "" {
		s = label + " " + s
	}
	return strings.TrimRight(s+" "+text, " ")
}

func cut(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return string(r[:width-1]) + "…"
}

// clean replaces characters that would break the line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}
