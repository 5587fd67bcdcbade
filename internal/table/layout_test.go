package table_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/internal/table"
)

// sideBySide has the rows of a run with the fix off, on, and with stale values.
func sideBySide() *table.Table {
	t := table.New("2,000 events/s for 8 s, three times. From 2 s to 5 s the fetch of 5 keys panics.",
		"measure", "fix off", "fix on", "fix on, stale values")
	row := func(name string, better table.Better, cells ...string) {
		all := []table.Cell{table.Text(name)}
		for i, c := range cells {
			all = append(all, table.Count(int64(i)).As(c))
		}
		t.AddCompared(better, all...)
	}
	row("healthy events/s during the fault (of offered)", table.Higher,
		"525/s (27.6 %)", "1,901/s (100.0 %)", "1,900/s (100.0 %)")
	row("healthy latency during it: p50 / p99 / max", table.Lower,
		"370 ms / 1.9 s / 2.0 s", "780 µs / 25 ms / 107 ms", "800 µs / 26 ms / 65 ms")
	row("events dropped", table.Lower, "9,301", "0", "0")
	t.Note("Stale values may be given for 8 s after a TTL of 500 ms, where a load fails or has not " +
		"ended after 50 ms, the soft time-out.")
	return t
}

// memory has more columns than fit beside each other, and two that name a row.
func memory() *table.Table {
	t := table.New("Memory", "setting", "store", "objects", "live", "peak heap", "peak in use", "left",
		"CPU full", "CPU after", "GC", "p99 pause", "longest", "hits", "done")
	for i, store := range []string{"map", "snowfence"} {
		cells := []table.Cell{table.Text("GOGC=100"), table.Text(store)}
		for _, c := range strings.Split("403,767,63.2 MiB,72.0 MiB,80.9 MiB,21.3 MiB,155 ms,131 ms,"+
			"8.13 %,115 µs,115 µs,97.74 %,100.00 %", ",")[1:] {
			cells = append(cells, table.Count(int64(i)).As(c))
		}
		t.Add(cells...)
	}
	return t
}

func text(t require.TestingT, tab *table.Table, width int) string {
	var b strings.Builder
	require.NoError(t, tab.WriteText(&b, table.Style{Width: width}))
	return strings.ReplaceAll(b.String(), "─", "-")
}

func TestTextFitsTheTerminal(t *testing.T) {
	assert.Equal(t, text(t, sideBySide(), 0), text(t, sideBySide(), 200))
	assert.Equal(t, strings.TrimLeft(`
2,000 events/s for 8 s, three times. From 2 s to 5 s the fetch of 5 keys panics.
measure                                      fix off              fix on     fix on, stale values
----------------------------------------------------------------------------------------------------
healthy events/s during the fault     525/s (27.6 %)   1,901/s (100.0 %)        1,900/s (100.0 %)
  (of offered) ↑
healthy latency during it: p50 /    370 ms / 1.9 s /    780 µs / 25 ms /   800 µs / 26 ms / 65 ms
  p99 / max ↓                                  2.0 s              107 ms
events dropped ↓                               9,301                   0                        0
Stale values may be given for 8 s after a TTL of 500 ms, where a load fails or has not ended after
  50 ms, the soft time-out.
`, "\n"), text(t, sideBySide(), 100))
	assert.Equal(t, strings.TrimLeft(`
2,000 events/s for 8 s, three times. From 2 s to 5 s the fetch of 5 keys panics.
                                                              fix on, stale
measure                     fix off              fix on              values
------------------------------------------------------------------------------
healthy events/s     525/s (27.6 %)   1,901/s (100.0 %)   1,900/s (100.0 %)
  during the fault
  (of offered) ↑
healthy latency            370 ms /    780 µs / 25 ms /    800 µs / 26 ms /
  during it: p50 /    1.9 s / 2.0 s              107 ms               65 ms
  p99 / max ↓
events dropped ↓              9,301                   0                   0
Stale values may be given for 8 s after a TTL of 500 ms, where a load fails or
  has not ended after 50 ms, the soft time-out.
`, "\n"), text(t, sideBySide(), 80))
}

func TestWideTextIsInBlocks(t *testing.T) {
	assert.Equal(t, strings.TrimLeft(`
Memory
setting    store       objects       live   peak heap   peak in use
----------------------------------------------------------------------
GOGC=100   map             767   63.2 MiB    72.0 MiB      80.9 MiB
GOGC=100   snowfence       767   63.2 MiB    72.0 MiB      80.9 MiB

setting    store           left   CPU full   CPU after       GC
------------------------------------------------------------------
GOGC=100   map         21.3 MiB     155 ms      131 ms   8.13 %
GOGC=100   snowfence   21.3 MiB     155 ms      131 ms   8.13 %

setting    store       p99 pause   longest      hits       done
------------------------------------------------------------------
GOGC=100   map            115 µs    115 µs   97.74 %   100.00 %
GOGC=100   snowfence      115 µs    115 µs   97.74 %   100.00 %
`, "\n"), text(t, memory(), 80))
	assert.Equal(t, 2, strings.Count(text(t, memory(), 100), "setting    store"))
	assert.Equal(t, 1, strings.Count(text(t, memory(), 200), "setting    store"))
}

// Whatever the table, no line is too wide, and nothing is lost.
func TestAnyTextFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-zé]{1,9}|[a-z]{30,50}|\d{1,4} (ms|%)|/|–|\([0-9.]+ %\)`)
		words := func(label string) string {
			return strings.Join(rapid.SliceOfN(word, 1, 8).Draw(t, label), " ")
		}
		columns := make([]string, rapid.IntRange(1, 14).Draw(t, "columns"))
		for i := range columns {
			columns[i] = words("head")
		}
		tab := table.New(words("title"), columns...)
		for r := range rapid.IntRange(0, 6).Draw(t, "rows") {
			cells := make([]table.Cell, len(columns))
			for i := range cells {
				cells[i] = table.Text(words("text"))
				if rapid.Bool().Draw(t, "is a number") {
					cells[i] = table.Count(int64(r)).As(words("number"))
				}
			}
			tab.Add(cells...)
		}
		tab.Note("%s", words("note"))
		width := rapid.IntRange(40, 220).Draw(t, "width")
		got := text(t, tab, width)
		for _, line := range strings.Split(got, "\n") {
			require.LessOrEqual(t, utf8.RuneCountInString(line), width, "%s", got)
		}
		lost := func(letter string) int {
			return strings.Count(text(t, tab, 0), letter) - strings.Count(got, letter)
		}
		for _, letter := range []string{"e", "é", "7", "m", "("} {
			if strings.Contains(got, "\n\n") { // in blocks the names are there several times
				require.LessOrEqual(t, lost(letter), 0, "%q\n%s", letter, got)
			} else {
				require.Zero(t, lost(letter), "%q\n%s", letter, got)
			}
		}
	})
}

func TestWrap(t *testing.T) {
	assert.Equal(t, "it took\n1.8 s then", table.Wrap("it took 1.8 s then", 10))
	assert.Equal(t, "by\n-3.5 %.", table.Wrap("by -3.5 %.", 7))
	assert.Equal(t, "1 MiB /\n2 MiB", table.Wrap("1 MiB / 2 MiB", 10))
	assert.Equal(t, "unbreakable", table.Wrap("unbreakable", 3))
	assert.Empty(t, table.Wrap("", 3))
	assert.Equal(t, "1\u00a0MiB\u00a0/ 2\u00a0MiB at once", table.Whole("1 MiB / 2 MiB at once"))
}
