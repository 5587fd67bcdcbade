package table_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/table"
)

func sample() *table.Table {
	t := table.New("Fix off and on", "measure", "fix off", "fix on")
	t.Columns[2].Highlight = true
	t.AddCompared(table.Higher, table.Text("throughput"), table.Rate(312), table.Rate(1198))
	t.AddCompared(table.Lower, table.Text("p99"), table.Duration(5*time.Second),
		table.Duration(1200*time.Microsecond))
	t.AddCompared(table.Lower, table.Text("dropped"), table.Count(0), table.Count(0))
	t.AddCompared(table.Lower, table.Text("time to recover"), table.Missing(), table.Duration(0))
	t.Note("window: %d s", 3)
	return t
}

func TestTextIsAlignedAndPlain(t *testing.T) {
	var b strings.Builder
	require.NoError(t, sample().WriteText(&b, table.Style{}))
	assert.Equal(t, strings.TrimLeft(`
Fix off and on
measure             fix off    fix on
────────────────────────────────────────
throughput ↑          312/s   1,198/s
p99 ↓                 5.0 s    1.2 ms
dropped ↓                 0         0
time to recover ↓         –       0 s
window: 3 s
`, "\n"), b.String())
}

func TestColourOnlyOnRequest(t *testing.T) {
	var b strings.Builder
	require.NoError(t, sample().WriteText(&b, table.Style{Color: true}))
	assert.Contains(t, b.String(), "\x1b[1;32m1,198/s\x1b[0m")
	assert.NotContains(t, b.String(), "\x1b[1;32m312/s")

	f, err := os.CreateTemp(t.TempDir(), "out")
	require.NoError(t, err)
	defer func() { assert.NoError(t, f.Close()) }()
	assert.False(t, table.StyleFor(f).Color, "a file is not a terminal")
	assert.False(t, table.StyleFor(&b).Color)
}

func TestDataCannotSmuggleEscapes(t *testing.T) {
	hostile := table.New("t\x1b[31m", "a\nb", "n")
	hostile.Add(table.Text("x\x1b[2Jy\r\n"), table.Count(1))
	hostile.Note("note\x07")
	var b strings.Builder
	require.NoError(t, hostile.WriteText(&b, table.Style{}))
	assert.NotContains(t, b.String(), "\x1b")
	assert.NotContains(t, b.String(), "\x07")
	assert.Equal(t, 5, strings.Count(b.String(), "\n"), "title, head, rule, row, note: %q", b.String())
}

func TestMarkdown(t *testing.T) {
	tab := sample()
	tab.Add(table.Text("a|b <c> *d*"), table.Percent(0.5), table.Bytes(1<<20))
	got, err := tab.Markdown()
	require.NoError(t, err)
	assert.Equal(t, strings.TrimLeft(`
**Fix off and on**

| measure | fix off | fix on |
| --- | ---: | ---: |
| throughput ↑ | 312/s | **1,198/s** |
| p99 ↓ | 5.0 s | **1.2 ms** |
| dropped ↓ | 0 | 0 |
| time to recover ↓ | – | 0 s |
| a\|b &lt;c> \*d\* | 50.00 % | 1.0 MiB |

window: 3 s
`, "\n"), got)
}

func TestJSON(t *testing.T) {
	b, err := json.Marshal(sample())
	require.NoError(t, err)
	var got struct {
		Columns []struct {
			Title     string
			Highlight bool
		}
		Rows []struct {
			Better string
			Cells  []any
		}
	}
	require.NoError(t, json.Unmarshal(b, &got))
	assert.True(t, got.Columns[2].Highlight)
	assert.Equal(t, "lower", got.Rows[1].Better)
	assert.Equal(t, "p99", got.Rows[1].Cells[0])
	assert.Equal(t, map[string]any{"value": 0.0012, "unit": "s", "text": "1.2 ms"},
		got.Rows[1].Cells[2])
	assert.Nil(t, got.Rows[3].Cells[1])

	_, err = json.Marshal([]table.Cell{table.Number(math.NaN()), table.Rate(math.Inf(1))})
	assert.NoError(t, err)
}

func TestBestByColumn(t *testing.T) {
	tab := table.New("", "policy", "hit ratio", "loads")
	tab.Columns[1].Better, tab.Columns[2].Better = table.Higher, table.Lower
	tab.Add(table.Text("LRU"), table.Percent(0.60), table.Count(10))
	tab.Add(table.Text("ARC"), table.Percent(0.67), table.Count(10))
	tab.Add(table.Text("none"), table.Missing(), table.Count(12))
	assert.True(t, tab.Best(1, 1))
	assert.False(t, tab.Best(0, 1))
	assert.False(t, tab.Best(2, 1))
	assert.True(t, tab.Best(0, 2), "both of the best two are marked")
	assert.True(t, tab.Best(1, 2))
	assert.False(t, tab.Best(9, 9))
}

func TestUnitsAreNotMixed(t *testing.T) {
	tab := table.New("", "a", "b")
	tab.AddCompared(table.Higher, table.Bytes(5), table.Count(1))
	assert.False(t, tab.Best(0, 0))
}

func TestValidate(t *testing.T) {
	tab := table.New("T", "a", "b")
	tab.Add(table.Text("x"))
	var b strings.Builder
	assert.ErrorContains(t, tab.WriteText(&b, table.Style{}),
		`table "T", row 1: 1 cells for 2 columns`)
	_, err := tab.Markdown()
	assert.Error(t, err)

	tab = table.New("T", "a")
	tab.Columns[0].Better = "up"
	assert.ErrorContains(t, tab.Validate(), `"up" is neither`)
}

func TestWriteErrorIsReported(t *testing.T) {
	assert.ErrorIs(t, sample().WriteText(failing{}, table.Style{}), errFull)
}

var errFull = errors.New("disk full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestMeasuredCells(t *testing.T) {
	assert.Equal(t, table.Missing(), table.Seconds(math.NaN()))
	assert.Equal(t, table.Duration(1500*time.Millisecond), table.Seconds(1.5))
	several := table.Counts(1234, 5)
	assert.Equal(t, "1,234 / 5", several.String())
	value, _, ok := several.Value()
	assert.True(t, ok)
	assert.InDelta(t, 1234, value, 0)
}

func TestCellAs(t *testing.T) {
	c := table.Rate(310).As("310/s (-83.7 %)")
	require.Equal(t, "310/s (-83.7 %)", c.String())
	value, unit, ok := c.Value()
	require.True(t, ok)
	require.Equal(t, 310.0, value)
	require.Equal(t, "1/s", unit)
	require.Equal(t, table.Missing(), table.Missing().As("something"))
}
