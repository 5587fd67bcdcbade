package main

import (
	"io"
	"strings"
	"testing"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample is a result of three rounds. At 200/s, otter did not keep up in one and none in two.
func sample() *result {
	r := &result{Libraries: []string{"none", "snowfence", "otter"}, Rates: []float64{100, 200}}
	for round := range 3 {
		at := func(library string, rate float64, value measured.Value, saturated bool) {
			r.Cells = append(r.Cells, cell{
				Library: library, Rate: rate, Round: round, Answered: measured.Value(rate),
				P50: value, P99: value, P999: value, Errors: 0.5, CPU: value, Heap: 1, RSS: measured.None(),
				Queries: 1, Late: 0.001, Saturated: saturated,
			})
		}
		n := measured.Value(round + 1)
		at("none", 100, 4*n, round > 0)
		at("snowfence", 100, n, false)
		at("otter", 100, 2*n*n, false)
		if round == 0 {
			at("none", 200, 40, false)
		}
		at("snowfence", 200, 2, false)
		at("otter", 200, 3, round == 1)
	}
	return r
}

func TestMedians(t *testing.T) {
	r := sample()
	assert.Equal(t, spread{8, 4, 12}, r.spread("none", 100, p99))
	assert.Equal(t, spread{4, 2, 6}, r.against("otter", ours, 100, cpu), "in the same rounds")
	assert.Equal(t, spread{1.5, 1.5, 1.5}, r.against("otter", ours, 200, cpu))
	assert.False(t, r.spread("none", 100, rss).median.Exists())
	assert.True(t, r.keepsUp("snowfence", 200))
	assert.True(t, r.keepsUp("otter", 200), "in two of three rounds")
	assert.False(t, r.keepsUp("none", 100))
	assert.False(t, r.keepsUp("none", 200), "a round that did not get that far counts")
	assert.False(t, r.keepsUp("theine", 100), "it was not measured")
	assert.Equal(t, 2.5, float64(spreadOf([]measured.Value{4, 1, 2, 3}).median))
}

func TestTables(t *testing.T) {
	var all strings.Builder
	for _, each := range sample().tables() {
		text, err := each.Markdown()
		require.NoError(t, err)
		all.WriteString(text)
	}
	for _, text := range []string{
		"| 99th percentile | 100/s | 200/s |",
		"| none | 8.0 s † | † |",
		"| otter | 8.0 s | 3.0 s |",
		"| otter | 2.0 s to 18.0 s | 3.0 s to 3.0 s |",
		"| otter | 4.00 | 1.50 |",
		"Medians of 3 rounds",
		"†: in half of the rounds",
	} {
		assert.Contains(t, all.String(), text)
	}
}

// A line ends at the last rate that the library keeps up with.
func TestChart(t *testing.T) {
	c := sample().chart("", p99)
	require.Len(t, c.Lines, 2, "none keeps up with no rate")
	assert.Equal(t, []series.Point{{T: 100, V: 2}, {T: 200, V: 2}}, c.Lines[0].Points)
	assert.True(t, c.Lines[0].Bold)
	assert.Equal(t, "otter", c.Lines[1].Name)
}

// A library that does not keep up with a rate gets no higher one in that round.
func TestRoundsStop(t *testing.T) {
	o, err := parse([]string{
		"-libs", "none,snowfence", "-rates", "400,500", "-rounds", "2", "-duration", "250ms",
		"-warm-up", "100ms", "-timeout", "100ms", "-ttl", "100ms", "-connections", "1",
		"-slow", "50ms", "-slow-share", "1", "-fail-share", "0",
	}, io.Discard)
	require.NoError(t, err)
	cells, err := o.run(t.Context(), io.Discard)
	require.NoError(t, err)
	require.Len(t, cells, 4, "both are too slow with one connection")
	for _, c := range cells {
		assert.EqualValues(t, 400, c.Rate)
		assert.True(t, c.Saturated)
	}
	assert.Equal(t, []string{"none", "snowfence", "snowfence", "none"},
		[]string{cells[0].Library, cells[1].Library, cells[2].Library, cells[3].Library})
}
