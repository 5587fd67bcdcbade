package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serving returns traffic to a server with a handler. Its ids are 0, 1, 2 and so on.
func serving(t *testing.T, h http.HandlerFunc) *traffic {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	var id uint64
	return &traffic{
		address: strings.TrimPrefix(s.URL, "http://"), rate: 1000, measure: 100 * time.Millisecond,
		connections: 10, timeout: time.Minute, ids: func() uint64 { id++; return id - 1 },
	}
}

// Each request ends as good, failed or lost. A connection that breaks is replaced.
func TestOutcomes(t *testing.T) {
	var seen [100]atomic.Bool
	sent := serving(t, func(w http.ResponseWriter, r *http.Request) {
		var id int
		for _, digit := range strings.TrimPrefix(r.URL.Path, "/rows/") {
			id = 10*id + int(digit-'0')
		}
		seen[id].Store(true)
		switch id % 10 {
		case 1:
			http.Error(w, "no", http.StatusServiceUnavailable)
		case 2:
			panic(http.ErrAbortHandler) // breaks the connection
		}
	})
	got, err := sent.run(t.Context(), pace.Start())
	require.NoError(t, err)
	for id := range seen {
		assert.True(t, seen[id].Load(), id)
	}
	assert.Equal(t, []uint64{80, 10, 10}, []uint64{got.good, got.failed, got.lost})
	assert.InDelta(t, 0.2, float64(got.cell(sent.measure).Errors), 1e-9)
	assert.LessOrEqual(t, got.opened, 10)
	assert.EqualValues(t, 100, got.late.Count())
}

// A request that never gets an answer is lost, and so are those that wait for its connection. All
// of their time counts.
func TestLost(t *testing.T) {
	stop := make(chan struct{})
	sent := serving(t, func(http.ResponseWriter, *http.Request) { <-stop })
	sent.connections, sent.timeout = 2, time.Millisecond
	defer close(stop)
	got, err := sent.run(t.Context(), pace.Start())
	require.NoError(t, err)
	assert.EqualValues(t, 100, got.lost)
	assert.Equal(t, 2, got.opened)
	assert.GreaterOrEqual(t, got.times.At(0), grace)
	c := got.cell(sent.measure)
	assert.True(t, c.Saturated)
	assert.EqualValues(t, 1, c.Errors)
}

// A slow answer does not hide the wait of the requests behind it: with one connection the last of n
// answers comes n times as late as the first could.
func TestLatencyCountsFromTheSchedule(t *testing.T) {
	const each = 5 * time.Millisecond
	sent := serving(t, func(http.ResponseWriter, *http.Request) { time.Sleep(each) })
	sent.connections = 1
	got, err := sent.run(t.Context(), pace.Start())
	require.NoError(t, err)
	require.EqualValues(t, 100, got.good)
	assert.GreaterOrEqual(t, got.times.Max(), 100*each-sent.measure)
	assert.GreaterOrEqual(t, got.times.At(50), 50*each-sent.measure)
	assert.True(t, got.cell(sent.measure).Saturated, "a fifth of the answers come in time")
}

// During the warm-up the rate rises to the full one. What is due in it is sent and not counted.
func TestWarmUp(t *testing.T) {
	var served atomic.Int64
	sent := serving(t, func(http.ResponseWriter, *http.Request) { served.Add(1) })
	sent.warm = 50 * time.Millisecond
	got, err := sent.run(t.Context(), pace.Start())
	require.NoError(t, err)
	assert.EqualValues(t, 125, served.Load())
	for number := range uint64(124) {
		require.Less(t, sent.due(number), sent.due(number+1), number)
	}
	assert.Less(t, sent.due(24), sent.warm)
	assert.Equal(t, sent.warm, sent.due(25))
	assert.EqualValues(t, 100, got.good)
	assert.EqualValues(t, 100, got.times.Count())
	assert.EqualValues(t, 100, got.late.Count())
}

func TestTrafficStops(t *testing.T) {
	why := errors.New("enough")
	ctx, stop := context.WithCancelCause(t.Context())
	sent := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		stop(why)
		<-r.Context().Done()
	})
	sent.measure = time.Hour
	_, err := sent.run(ctx, pace.Start())
	require.ErrorIs(t, err, why)
}
