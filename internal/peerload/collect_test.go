package peerload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ledger is a run in which the origin gave versions 1 and 2 of key 0, and version 3 failed, at the times that are given.
func ledger(c Config, visits ...visit) *run {
	o := &origin{c: c, gave: []issue{{}, {1, 100}, {1, 200}, {}}, loads: map[string][]visit{keyName(0): visits}}
	return &run{c: c, ownership: ByKey, origin: o, begin: time.Now()}
}

func got(due time.Duration, key int, version uint64, issued int64) record {
	return record{Due: due, Latency: time.Millisecond, Key: key, Version: version, Issued: issued}
}

// Each value that a caller got is looked up in what the origin gave.
func TestWrongValues(t *testing.T) {
	for name, tt := range map[string]struct {
		one  record
		want uint64
	}{
		"as it was given": {got(0, 0, 2, 200), 0},
		"another key's":   {got(0, 1, 2, 200), 1},
		"another time":    {got(0, 0, 2, 100), 1},
		"none was given":  {got(0, 0, 3, 300), 1},
		"never issued":    {got(0, 0, 4, 400), 1},
		"not a value":     {got(0, 0, 0, 0), 1},
		"an error":        {record{Error: errorLoad}, 0},
	} {
		r := ledger(DefaultConfig())
		r.all = []*process{{last: nodeReport{Begun: 2, Done: true}, records: []record{got(0, 0, 1, 100), tt.one}}}
		assert.Equal(t, tt.want, r.result(time.Second).Wrong, name)
	}
}

// Loads are counted by what one cache for all would have needed, and by when they came.
func TestExtraLoads(t *testing.T) {
	at := func(s float64, fails bool) visit { return visit{time.Duration(s * float64(time.Second)), fails} }
	c := DefaultConfig()
	c.TTL, c.Disturb, c.Start, c.End = time.Second, Restart, 5*time.Second, 9*time.Second
	r := ledger(c,
		at(0, false), at(0.5, false), // before
		at(5, true), at(5.1, false), at(5.9, false), at(6.05, false), at(6.2, false), // during; what fails is none that sharing could save
		at(9.5, false), at(9.9, false), // past the planned end; it lasts until 10 s
		at(21.1, false), at(21.2, false), at(22.2, false)) // calm again, 11 s after
	r.ended = 10 * time.Second
	x := r.result(25 * time.Second)
	assert.Equal(t, []uint64{1, 3, 1}, []uint64{x.Before.Extra, x.During.Extra, x.After.Extra})
	require.EqualValues(t, 12, x.Loads.Total)
	assert.EqualValues(t, 5, x.Loads.Calm)
	assert.EqualValues(t, 2, x.Loads.CalmExtra)
	assert.InDelta(t, 10, float64(x.Over), 0)
	var sum float64
	for _, p := range x.series(SeriesExtra).Points {
		sum += p.V * slot.Seconds()
	}
	assert.InDelta(t, 5, sum, 0.001)
}

// What did not end on a node that is there is late, and lost on one that is gone.
func TestLost(t *testing.T) {
	r := ledger(DefaultConfig())
	r.all = []*process{
		{last: nodeReport{Begun: 5, Missed: 7}, records: make([]record, 3)},
		{last: nodeReport{Begun: 4}, records: make([]record, 1), leaving: true},
	}
	x := r.result(time.Second)
	assert.EqualValues(t, 9, x.Fetches)
	assert.EqualValues(t, 2+7+3, x.Lost)
	assert.EqualValues(t, 2, x.Late)
}
