// Package report writes the result of a run as one HTML file.
//
// The page needs nothing else: no font, no network. It opens from file://, follows the reader's
// light or dark theme, fits a phone, prints, and carries what is needed to repeat the run: command
// line, seed, scenario and environment (but no host name and no path of the machine). It begins
// with what failed, if anything did, and the finding; then come the first chart, the tables and
// what their names mean, the other charts, and the checks.
//
// A [Report] is plain data: checks, tables and charts. A [Chart] draws lines over
// time or over another quantity; the lines of a run with the fix off and with it
// on have the same colour and dash in every chart, and all charts over time in a
// report share one axis. No two lines of a chart have both dash and marker in common. A chart can
// also be written as an SVG file of its own, for a README.
//
// Values can be read off: a short script of ours shows those at the place that is pointed at, and
// without it there is a table below each chart. uPlot, at 50 KB, would draw all charts a second
// time, on a canvas that neither prints well nor has a description; the script needs what is drawn
// already.
//
// # Why the charts are drawn here
//
// gonum.org/v1/plot was tried first. It draws the lines well, but: its SVG has
// colours and font on each element and no classes, so a theme means rewriting the
// output; text is placed by the widths of one font, without text-anchor, and
// drifts in any other; the plot area moves with the width of the labels, so time
// axes of charts above one another don't line up; a value of 0 panics on a log
// axis; and it adds 5.6 MB to a program of 3.7 MB, for fonts and PDF, TeX and
// TIFF writers that are never used. A few hundred lines do without all that.
package report
