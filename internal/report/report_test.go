package report_test

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

const hostile = `</script></title><svg onload=alert(1)>"'&]]>` + "\x00\x1b\xff"

func html(t *testing.T, r *report.Report) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, r.WriteHTML(&b))
	return b.String()
}

// pts makes points from t, v, t, v and so on.
func pts(tv ...float64) (points []series.Point) {
	for i := 0; i+1 < len(tv); i += 2 {
		points = append(points, series.Point{T: tv[i], V: tv[i+1]})
	}
	return points
}

func svg(t require.TestingT, c *report.Chart) string {
	var b strings.Builder
	require.NoError(t, c.WriteSVG(&b))
	return b.String()
}

// wellFormed fails unless doc is XML, and returns its elements' names and all
// its text.
func wellFormed(t require.TestingT, doc string) (elements map[string]int, text string) {
	elements = make(map[string]int)
	var b strings.Builder
	dec := xml.NewDecoder(strings.NewReader(doc))
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return elements, b.String()
		}
		require.NoError(t, err, "not well-formed")
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
			for _, a := range token.Attr {
				require.False(t, strings.HasPrefix(a.Name.Local, "on"), "handler %s", a.Name.Local)
				require.NotContains(t, a.Value, "NaN")
				require.NotContains(t, a.Value, "Inf")
			}
		case xml.CharData:
			b.Write(token)
		}
	}
}

var urls = regexp.MustCompile(`(?i)(https?:)?//[a-z]|url\([^#]|@import|src=|href=`)

func assertSelfContained(t *testing.T, page string) {
	t.Helper()
	rest := strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, "")
	assert.Empty(t, urls.FindAllString(rest, -1), "the page points outside")
}

func TestPageHasEverything(t *testing.T) {
	r := sampleReport()
	page := html(t, r)
	assertSelfContained(t, page)
	for _, want := range []string{
		r.Title, "cachebench snowball --fault panic", "<dd>42</dd>", "kind: panic", "go1.25.0",
		"linux/amd64",
		"pass</span>", "FAIL</span>", "1.2 ms at the median", "<caption>The same load",
		`<th scope="row" class="key">time-outs`,
		`<abbr title="lower is better">↓</abbr>`, "12,585", "better number of each row", "<details>",
		"prefers-color-scheme:dark",
		"@media print", "Events of keys that never fail",
	} {
		assert.Contains(t, page, strings.ReplaceAll(want, "'", "&#39;"))
	}
	drawings := regexp.MustCompile(`(?s)<svg class="chart plot".*?</svg>`).FindAllString(page, -1)
	require.Len(t, drawings, 1+len(r.Charts), "the wide one is there for a narrow screen, too")
	assert.Contains(t, drawings[0], `viewBox="0 0 1180 `)
	drawings = drawings[1:]
	ids := make(map[string]bool)
	for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		assert.False(t, ids[m[1]], "id %q twice", m[1])
		ids[m[1]] = true
	}
	for i, d := range drawings {
		elements, text := wellFormed(t, d)
		c := r.Charts[i]
		assert.Contains(t, d, `viewBox="0 0 640 `)
		assert.Contains(t, d, `aria-label="`+c.Title+`"`)
		assert.Contains(t, text, "fault: fetch of 5 keys panics")
		assert.Equal(t, 1, elements["desc"])
		assert.Zero(t, elements["title"], "a title covers the values")
		for _, l := range c.Lines {
			assert.Contains(t, text, l.Name+": lowest ", "line missing in %s", c.Title)
		}
	}
	assert.Contains(t, page, `<td class="num hi best"><strong>1,001/s</strong></td>`)
}

func TestHostileTextIsEscaped(t *testing.T) {
	tab := table.New(hostile, hostile)
	tab.Add(table.Text(hostile))
	tab.Note("%s", hostile)
	c := &report.Chart{
		Title: hostile, Unit: hostile, Caption: hostile,
		Lines: []report.Line{{Series: series.Series{Name: hostile, Points: pts(0, 1, 1, 2)},
			Role: report.Role(hostile)}},
		Windows: []report.Window{{From: 0, To: 1, Label: hostile}},
		Marks:   []report.Mark{{At: 0.5, Label: hostile}},
	}
	page := html(t, &report.Report{
		Title: hostile, Summary: hostile, Command: hostile, Scenario: hostile,
		Environment: report.Environment{Go: hostile, OS: hostile, Arch: hostile},
		Checks:      []report.Check{{Name: hostile, Detail: hostile}},
		Tables:      []*table.Table{tab}, Charts: []*report.Chart{c},
	})
	assert.NotContains(t, page, "<svg onload")
	assert.Equal(t, 1, strings.Count(page, "</script"), "the page's own")
	assert.Contains(t, page, "<title>&lt;/script&gt;&lt;/title&gt;&lt;svg onload=alert(1)&gt;")
	elements, text := wellFormed(t, svg(t, c))
	assert.Equal(t, 1, elements["svg"])
	assert.Contains(t, text, `</script></title><svg onload=alert(1)>"'&]]>`)
}

func TestBothRunsLookAlikeInEveryChart(t *testing.T) {
	p := pts(0, 1, 1, 2)
	for _, lines := range [][]report.Line{
		{{Series: series.Series{Name: "a", Points: p}, Role: report.FixOff},
			{Series: series.Series{Name: "b", Points: p}, Role: report.FixOn}},
		{{Series: series.Series{Name: "b", Points: p}, Role: report.FixOn},
			{Series: series.Series{Name: "a", Points: p}, Role: report.FixOff}},
	} {
		got := svg(t, &report.Chart{Lines: lines})
		assert.Regexp(t, `<title>a: [^<]*</title><path class="line off"`, got)
		assert.Regexp(t, `<title>b: [^<]*</title><path class="line on"`, got)
	}
}

func TestChartsShareTheTimeAxis(t *testing.T) {
	short := &report.Chart{Title: "short",
		Lines: []report.Line{{Series: series.Series{Name: "s", Points: pts(0, 1, 2, 1)}}}}
	long := &report.Chart{Title: "long",
		Lines: []report.Line{{Series: series.Series{Name: "l", Points: pts(0, 1, 20, 1)}}}}
	page := html(t, &report.Report{Charts: []*report.Chart{short, long}})
	assert.Equal(t, 2, strings.Count(page, "from 0 to 20 seconds"))
	assert.Contains(t, svg(t, short), "from 0 to 2 seconds", "the chart itself was changed")
}

func TestChartOverAnotherQuantity(t *testing.T) {
	line := func(tv ...float64) []report.Line {
		return []report.Line{{Series: series.Series{Name: "s", Points: pts(tv...)}, Bold: true}}
	}
	c := &report.Chart{
		Title: "x", XLabel: "capacity", XLog: true, Tall: true, YRange: [2]float64{0, 100},
		Lines: line(10, 100, 0.1, 0, 1, 50, 0, 70, -1, 70),
	}
	got := svg(t, c)
	_, text := wellFormed(t, got)
	// A decade is half of the width; points that a logarithmic axis lacks are left out.
	assert.Contains(t, got, `class="line p0 bold" d="M72,477L347,277L622,77"`)
	for _, label := range []string{"0.1", "0.2", "0.5", "1", "2", "5", "10"} {
		assert.Contains(t, got, `text-anchor="middle">`+label+`<`)
	}
	assert.Contains(t, text, "over capacity, from 0.1 to 10,")
	assert.NotContains(t, text, "seconds")

	c.Lines = line(1, 1, 1e9, 2)
	got = svg(t, c)
	assert.Contains(t, got, `>100M<`)
	assert.NotContains(t, got, `text-anchor="middle">2<`, "too many ticks")

	timed := &report.Chart{Title: "timed", Lines: line(0, 1, 20, 1)}
	c.Lines = line(1, 1, 1000, 2)
	page := html(t, &report.Report{Charts: []*report.Chart{timed, c}})
	assert.Contains(t, page, "over time, from 0 to 20 seconds")
	assert.Contains(t, page, "over capacity, from 1 to 1,000,")
}

// Lines differ in dash or marker, so that they can be told apart without colour, and in colour in
// both themes, whatever roles some of them have.
func TestNoTwoLinesLookAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &report.Chart{}
		for i := range rapid.IntRange(2, 12).Draw(t, "lines") {
			s := series.Series{Name: strconv.Itoa(i), Points: pts(0, 1, 1, 2)}
			role := report.Plain
			if i < 6 { // no chart has more than two lines of a role
				role = rapid.SampledFrom([]report.Role{report.Plain, report.FixOff, report.FixOn,
					report.Stale}[:1+3*(i%2)]).Draw(t, "role")
			}
			c.Lines = append(c.Lines, report.Line{Series: s, Role: role})
		}
		got := svg(t, c)
		light, dark, found := strings.Cut(got, "@media screen and (prefers-color-scheme:dark)")
		require.True(t, found)
		dashed := make(map[string]string)
		for _, m := range regexp.MustCompile(`(?m)^(.*)\{stroke-dasharray:([\d ]+)\}$`).
			FindAllStringSubmatch(light, -1) {
			for _, class := range strings.Split(m[1], ",") {
				dashed[strings.TrimPrefix(class, ".chart .")] = m[2]
			}
		}
		looks, colours := make(map[string]bool), make(map[string]string)
		drawn := regexp.MustCompile(`</title><path class="line (\w+)[^"]*" d="[^"]*"/>`+
			`(?:<path class="dot [^"]*" d="M[\d.,]+(m[^M"]*))?`).FindAllStringSubmatch(got, -1)
		require.Len(t, drawn, len(c.Lines))
		for i, d := range drawn {
			class, look := d[1], dashed[d[1]]+" "+d[2]
			assert.False(t, looks[look], "line %d has the dash and the marker of another", i)
			looks[look] = true
			for theme, css := range map[string]string{"light": light, "dark": dark} {
				m := regexp.MustCompile(`\.` + class + `\{color:(#\w+)\}`).FindStringSubmatch(css)
				require.NotNil(t, m, "%s: no colour for %s", theme, class)
				other, used := colours[theme+m[1]]
				assert.True(t, !used || other == class, "%s: %s has the colour of %s", theme, class, other)
				colours[theme+m[1]] = class
			}
		}
	})
}

// The order is that of a reader: what failed, the finding, the picture, the table and what its
// names mean, further charts, and the checks, which are one line if they hold.
func TestOrderOfThePage(t *testing.T) {
	r := sampleReport()
	order := []string{"<h1>", "1 of 3 checks failed", "1.2 ms at the median", `class="lead">` + r.Finding,
		`class="story">A service of 64`, "<h3>Healthy throughput", "<caption>The same load",
		"<summary>What the names mean", "<dt>time-outs</dt><dd>callers who", "<h3>Callers blocked",
		"<summary>2 of 3 checks hold", "by 58.80 %", "Run it again"}
	page, at := html(t, r), 0
	for _, part := range order {
		next := strings.Index(page[at:], strings.ReplaceAll(part, "'", "&#39;"))
		require.GreaterOrEqual(t, next, 0, "%q is missing, or not after the part before it", part)
		at += next
	}

	r.Checks[2].OK, r.Glossary = true, nil
	page = html(t, r)
	assert.NotContains(t, page, "checks failed")
	assert.NotContains(t, page, "What the names mean")
	assert.Regexp(t, `(?s)<details>\s*<summary>3 of 3 checks hold</summary>`, page)
	assert.Equal(t, 1, strings.Count(page, r.Checks[2].Name))
}

// What the script shows is what was measured, as text, in the place where it is drawn.
func TestReadings(t *testing.T) {
	c := &report.Chart{Title: "x", Quantity: report.Seconds, Lines: []report.Line{
		{Series: series.Series{Name: "s", Points: pts(0, 0.001, 2, math.NaN(), 10, 0.004)},
			Role: report.FixOn},
		{Series: series.Series{Name: "empty"}},
	}}
	page := html(t, &report.Report{Charts: []*report.Chart{c}})
	m := regexp.MustCompile(`const readings = (.*);`).FindStringSubmatch(page)
	require.NotNil(t, m)
	assert.JSONEq(t, `[[{"class":"on","points":[[0,2000,"0","1.0 ms"],[10000,8000,"10","4.0 ms"]]},`+
		`{"class":"p1","points":[]}]]`, m[1])
	assert.Contains(t, page, `data-plot="72 622 26 286"`)
	assert.Equal(t, 2, strings.Count(page, " <b></b></li>"), "a place for each value")

	for i := range 100_000 {
		c.Lines[0].Points = append(c.Lines[0].Points,
			series.Point{T: 10 + float64(i)/1000, V: float64(i % 7)})
	}
	page = html(t, &report.Report{Charts: []*report.Chart{c}})
	m = regexp.MustCompile(`const readings = (.*);`).FindStringSubmatch(page)
	require.NotNil(t, m)
	var all [][]struct{ Points [][4]any }
	require.NoError(t, json.Unmarshal([]byte(m[1]), &all))
	assert.Greater(t, len(all[0][0].Points), 200)
	assert.Less(t, len(all[0][0].Points), 500)
}

// The columns that name a row stay in sight where a table is wider than the screen.
func TestColumnsThatNameARowStay(t *testing.T) {
	tab := table.New("", "setting", "store", "live")
	tab.Add(table.Text("GOGC=100"), table.Text("map"), table.Count(1))
	tab.Add(table.Text("GOGC=100"), table.Text("snowfence"), table.Count(2))
	page := html(t, &report.Report{Tables: []*table.Table{tab}})
	assert.Regexp(t, `(?s)<table class="keys2">.*<th scope="col" class="key">setting</th>`+
		`<th scope="col" class="key">store</th><th scope="col" class=" num">live</th>.*`+
		`<th scope="row" class="key">GOGC=100</th><th scope="row" class="key">map</th><td`, page)
	assert.Regexp(t, `\.key\{position:sticky;left:0`, page)
}

// Below each chart are its values; where there are too many moments for a table, the lowest and the
// highest of each stretch.
func TestValuesAsTable(t *testing.T) {
	rows := func(c *report.Chart) [][]string {
		page := html(t, &report.Report{Charts: []*report.Chart{c}})
		body := regexp.MustCompile(`(?s)<details class="values">.*?<tbody>(.*?)</tbody>`).
			FindStringSubmatch(page)
		require.NotNil(t, body)
		var all [][]string
		for _, row := range strings.Split(body[1], "</tr>") {
			var cells []string
			for _, m := range regexp.MustCompile(`>([^<>]+)</t[hd]>`).FindAllStringSubmatch(row, -1) {
				cells = append(cells, strings.ReplaceAll(m[1], "\u00a0", " "))
			}
			if cells != nil {
				all = append(all, cells)
			}
		}
		return all
	}
	line := func(points []series.Point) []report.Line {
		return []report.Line{{Series: series.Series{Name: "s", Points: points}}}
	}
	few := append(line(pts(0, 1, 1, 2, 2, math.NaN())), line(pts(1, 7, 3, 8))...)
	assert.Equal(t, [][]string{{"0", "1", "–"}, {"1", "2", "7"}, {"2", "–", "–"}, {"3", "–", "8"}},
		rows(&report.Chart{Lines: few}))

	rapid.Check(t, func(t *rapid.T) {
		points := make([]series.Point, rapid.IntRange(61, 2000).Draw(t, "points"))
		every := rapid.SampledFrom([]float64{0.001, 0.05, 1, 7, 1e6}).Draw(t, "every")
		for i := range points {
			points[i] = series.Point{T: float64(i+1) * every, V: 5}
		}
		half := len(points) / 2
		points[rapid.IntRange(0, half).Draw(t, "spike")].V = 900
		points[rapid.IntRange(half+1, len(points)-1).Draw(t, "dip")].V = 1
		all := rows(&report.Chart{Lines: line(points), XLog: rapid.Bool().Draw(t, "log")})
		assert.Less(t, len(all), 62)
		assert.Greater(t, len(all), 10)
		text := fmt.Sprint(all)
		assert.Regexp(t, ` – 900\b|\[[\d.,]+ – [\d.,]+ 900\]`, text, "the spike must stay")
		assert.Regexp(t, `[^\d,.]1( – |\])`, text, "the dip must stay")
	})
}

// The bars of a row are to one scale, that of its largest number.
func TestBarsOfARow(t *testing.T) {
	tab := table.New("", "what", "a", "b", "c", "d")
	tab.Add(table.Text("x"), table.Count(5), table.Count(20), table.Missing(), table.Text("20"))
	assert.NotContains(t, html(t, &report.Report{Tables: []*table.Table{tab}}), "--bar:0")
	tab.Rows[0].Bars = true
	page := html(t, &report.Report{Tables: []*table.Table{tab}})
	assert.Contains(t, page, `style="--bar:0.25">5</td>`)
	assert.Contains(t, page, `style="--bar:1.00">20</td>`)
	assert.Equal(t, 2, strings.Count(page, "style=\"--bar"))
}

// Whoever compares heights must know where the axis starts.
func TestAxesStartAtZeroOrSaySo(t *testing.T) {
	for name, c := range map[string]struct {
		chart report.Chart
		want  string
	}{
		"from 0":        {report.Chart{Unit: "a"}, "> a<"},
		"log":           {report.Chart{Unit: "a", Log: true}, "a, log scale<"},
		"log, no unit":  {report.Chart{Log: true}, ">log scale<"},
		"log, said":     {report.Chart{Unit: "log scale", Log: true}, ">log scale<"},
		"fixed":         {report.Chart{Unit: "a", YRange: [2]float64{2, 9}}, "a, from 2, not 0<"},
		"x":             {report.Chart{Unit: "a", XRange: [2]float64{5, 9}}, "since start, from 5, not 0<"},
		"log x":         {report.Chart{XLabel: "b", XLog: true}, "b, log scale<"},
		"log x, said":   {report.Chart{XLabel: "b (logarithmic)", XLog: true}, "b (logarithmic)<"},
		"fixed, bytes":  {report.Chart{Quantity: report.Bytes, YRange: [2]float64{1024, 4096}}, "1.0 KiB"},
		"across 0":      {report.Chart{Unit: "a", YRange: [2]float64{-2, 9}}, ">a<"},
		"all below 0":   {report.Chart{Unit: "a", YRange: [2]float64{-9, -2}}, "a, from -9, not 0<"},
		"seconds since": {report.Chart{}, "seconds since start<"},
	} {
		c.chart.Lines = []report.Line{{Series: series.Series{Name: "s", Points: pts(1, 3, 8, 4)}}}
		got := svg(t, &c.chart)
		assert.Contains(t, strings.ReplaceAll(got, ` dx="5">`, ">"), strings.TrimPrefix(c.want, "> "), name)
	}
}

func TestOddData(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct {
		points []series.Point
		log    bool
		want   string
		not    string
	}{
		"empty":         {nil, false, ">no data<", "<circle"},
		"only gaps":     {pts(0, nan, 1, inf), false, ">no data<", "<circle"},
		"bad times":     {pts(nan, 1, inf, 2), false, ">no data<", "<circle"},
		"one point":     {pts(3, 5), false, "<circle", "no data"},
		"gap splits":    {pts(0, 1, 1, 1, 2, nan, 3, 1, 4, 1), false, "M72,", "no data"},
		"all zero":      {pts(0, 0, 1, 0), false, `class="line p0" d="M72,`, "no data"},
		"all zero, log": {pts(0, 0, 1, 0), true, ">no data<", `d="M72,277L`},
		"log":           {pts(0, 1e-6, 1, 5, 2, 0, 3, -1, 4, 2), true, "<circle", "no data"},
		"huge":          {pts(0, -math.MaxFloat64, 1, math.MaxFloat64), false, "e+300", "no data"},
		"huge, log":     {pts(0, 1, 1, math.MaxFloat64), true, "e+", "no data"},
		"tiny":          {pts(0, 5e-324, 1, 5e-324), false, "<path", "no data"},
		"negative":      {pts(0, -5, 1, -1), false, ">-5<", "no data"},
		"far in time":   {pts(1e17, 1, 1e17, 2), false, "<path", "no data"},
	} {
		t.Run(name, func(t *testing.T) {
			got := svg(t, &report.Chart{Title: "x", Log: c.log,
				Lines: []report.Line{{Series: series.Series{Name: "s", Points: c.points}}}})
			wellFormed(t, got)
			assert.Contains(t, got, c.want)
			assert.NotContains(t, got, c.not)
		})
	}
	got := svg(t, &report.Chart{Lines: []report.Line{{Series: series.Series{Name: "s",
		Points: pts(0, 1, 1, 1, 2, nan, 3, 1, 4, 1)}}}})
	d := regexp.MustCompile(`</title><path class="line p0" d="([^"]*)"`).FindStringSubmatch(got)
	require.NotNil(t, d)
	assert.Equal(t, 2, strings.Count(d[1], "M"), "a gap must break the line: %s", d[1])
}

func TestAnyChartIsWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		odd := rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.MaxFloat64,
			-math.MaxFloat64, 5e-324})
		value := rapid.OneOf(rapid.Float64(), odd, rapid.Float64Range(0, 100))
		text := rapid.OneOf(rapid.String(), rapid.Just(hostile))
		c := &report.Chart{
			XLabel: text.Draw(t, "x label"), XLog: rapid.Bool().Draw(t, "x log"),
			Tall:  rapid.Bool().Draw(t, "tall"),
			Title: text.Draw(t, "title"), Unit: text.Draw(t, "unit"), Log: rapid.Bool().Draw(t, "log"),
			Wide: rapid.Bool().Draw(t, "wide"),
			Quantity: rapid.SampledFrom([]report.Quantity{report.Number, report.Seconds, report.Bytes}).Draw(
				t, "quantity"),
			Windows: []report.Window{{From: value.Draw(t, "from"), To: value.Draw(t, "to"),
				Label: text.Draw(t, "window")}},
			Marks:  []report.Mark{{At: value.Draw(t, "at"), Label: text.Draw(t, "mark")}},
			YRange: [2]float64{value.Draw(t, "low"), value.Draw(t, "high")},
		}
		for range rapid.IntRange(0, 8).Draw(t, "lines") {
			l := report.Line{Role: rapid.SampledFrom([]report.Role{report.Plain, report.FixOff,
				report.FixOn}).Draw(t, "role")}
			l.Bold = rapid.Bool().Draw(t, "bold")
			l.Name = text.Draw(t, "name")
			for range rapid.IntRange(0, 20).Draw(t, "points") {
				l.Points = append(l.Points, series.Point{T: value.Draw(t, "t"), V: value.Draw(t, "v")})
			}
			c.Lines = append(c.Lines, l)
		}
		wellFormed(t, svg(t, c))
		// A page has at most a row for each of 60 stretches and the ends, whatever the moments.
		var page strings.Builder
		require.NoError(t, (&report.Report{Charts: []*report.Chart{c}}).WriteHTML(&page))
		require.LessOrEqual(t, strings.Count(page.String(), "<tr>"), 64)
	})
}

func TestLongSeriesStaySmallWithTheirSpikes(t *testing.T) {
	points := make([]series.Point, 200_000)
	for i := range points {
		points[i] = series.Point{T: float64(i) / 1000, V: 10}
	}
	points[123_456].V = 1000
	got := svg(t, &report.Chart{Title: "x",
		Lines: []report.Line{{Series: series.Series{Name: "s", Points: points}}}})
	assert.Less(t, len(got), 60_000)
	// The spike is drawn where the axis has 1,000.
	y := regexp.MustCompile(`y="([\d.]+)"[^>]*>1,000<`).FindStringSubmatch(got)
	require.NotNil(t, y)
	var label float64
	_, err := fmt.Sscan(y[1], &label)
	require.NoError(t, err)
	assert.Contains(t, got, fmt.Sprintf(",%gL", math.Round((label-4.5)*10)/10))
}

func TestStandaloneSVG(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docs", "chart.svg")
	require.NoError(t, sampleReport().Charts[0].WriteSVGFile(path))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	elements, _ := wellFormed(t, string(got))
	assert.Equal(t, 1, elements["style"])
	assert.Contains(t, string(got), `class="card"`,
		"text needs a background of its own on an unknown page")
	assert.Contains(t, string(got), "prefers-color-scheme:dark")
	assertSelfContained(t, string(got))
}

func TestFilesAreAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	r := sampleReport()
	path := filepath.Join(dir, "report.html")
	require.NoError(t, r.WriteHTMLFile(path))
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	r.Tables[0].Add(table.Text("one cell of three"))
	require.ErrorContains(t, r.WriteHTMLFile(path), "1 cells for 3 columns")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	assert.ErrorContains(t, sampleReport().WriteHTMLFile(filepath.Join(path, "sub", "r.html")),
		"can't make the folder")
}

func TestCSVOfAllCharts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.csv")
	require.NoError(t, sampleReport().WriteCSVFile(path))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { assert.NoError(t, f.Close()) }()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	assert.Len(t, rows, 251)
	assert.Equal(t, []string{"t_seconds", "Healthy throughput: fix off", "Healthy throughput: fix on"},
		rows[0][:3])
	assert.Equal(t, "0.04", rows[1][0])
}

func TestJSONAndChecks(t *testing.T) {
	r := sampleReport()
	r.Charts[0].Lines[0].Points[0].V = math.NaN()
	b, err := json.Marshal(r)
	require.NoError(t, err)
	assert.Contains(t, string(b), `"points":[[0.04,null]`)
	assert.False(t, r.Passed())
	r.Checks[2].OK = true
	assert.True(t, r.Passed())
	var text strings.Builder
	require.NoError(t, report.ChecksTable(r.Checks).WriteText(&text, table.Style{}))
	assert.Contains(t, text.String(), "pass     Fix on: a caller hears")
}

func TestEnvironment(t *testing.T) {
	e := report.CurrentEnvironment()
	assert.NotEmpty(t, e.Go)
	assert.Positive(t, e.Cores)
	assert.Positive(t, e.GOMAXPROCS)
	host, err := os.Hostname()
	require.NoError(t, err)
	if len(host) > 3 {
		assert.NotContains(t, fmt.Sprintf("%+v", e), host)
	}
}
