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
	assert.NotContains(t, strings.ToLower(rest), "<script")
}

func TestPageHasEverything(t *testing.T) {
	r := sampleReport()
	page := html(t, r)
	assertSelfContained(t, page)
	for _, want := range []string{
		r.Title, "cachebench snowball --fault panic", "<dd>42</dd>", "kind: panic", "go1.25.0",
		"linux/amd64",
		"pass</span>", "FAIL</span>", "1.2 ms at the median", "<caption>The same load",
		`<th scope="row">time-outs`,
		`<abbr title="lower is better">↓</abbr>`, "12,585", "better number of each row", "<details>",
		"prefers-color-scheme:dark",
		"@media print", "Events of keys that never fail",
	} {
		assert.Contains(t, page, strings.ReplaceAll(want, "'", "&#39;"))
	}
	drawings := regexp.MustCompile(`(?s)<svg .*?</svg>`).FindAllString(page, -1)
	require.Len(t, drawings, len(r.Charts))
	ids := make(map[string]bool)
	for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		assert.False(t, ids[m[1]], "id %q twice", m[1])
		ids[m[1]] = true
	}
	for i, d := range drawings {
		elements, text := wellFormed(t, d)
		c := r.Charts[i]
		assert.Contains(t, text, c.Title)
		assert.Contains(t, text, "fault: fetch of 5 keys panics")
		assert.Equal(t, 1, elements["desc"])
		for _, l := range c.Lines {
			assert.Contains(t, text, l.Name+": lowest ", "line missing in %s", c.Title)
		}
		assert.Equal(t, 1+len(c.Lines), elements["title"])
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
	assert.NotContains(t, page, "</script")
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
	got := svg(t, &report.Chart{})
	assert.Regexp(t, `\.off\{stroke:#\w+;stroke-dasharray`, got,
		"off must differ in more than its colour")
	assert.NotRegexp(t, `\.on\{[^}]*dasharray`, got)
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

func TestNoTwoPlainLinesLookAlike(t *testing.T) {
	c := &report.Chart{}
	for i := range 12 {
		s := series.Series{Name: strconv.Itoa(i), Points: pts(0, 1, 1, 2)}
		c.Lines = append(c.Lines, report.Line{Series: s})
	}
	got := svg(t, c)
	light, dark, found := strings.Cut(got, "@media screen and (prefers-color-scheme:dark)")
	require.True(t, found)
	seen := make(map[string]string)
	once := func(theme, class, text string, pattern string) {
		m := regexp.MustCompile(`\.` + class + `\{` + pattern).FindStringSubmatch(text)
		require.NotNil(t, m, "%s: no look for %s", theme, class)
		assert.Empty(t, seen[theme+m[1]], "another line has the look of %s: %s", class, theme)
		seen[theme+m[1]] = class
	}
	drawn := regexp.MustCompile(`</title><path class="line (p\d+)" `).FindAllStringSubmatch(got, -1)
	require.Len(t, drawn, len(c.Lines))
	for _, d := range drawn {
		once("light", d[1], light, `stroke:(#\w+)[;}]`)
		once("dark", d[1], dark, `stroke:(#\w+)[;}]`)
		once("dashes", d[1], light, `stroke:#\w+;?(?:stroke-dasharray:)?([\d ]*)\}`)
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
