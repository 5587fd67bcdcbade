package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// folder has the database of all tests. TestMain removes it.
var folder = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "service-test")
	if err != nil {
		return dir, err
	}
	return dir, createDatabase(context.Background(), filepath.Join(dir, "rows.db"))
})

// database returns the path of a database, which is made once.
func database(t *testing.T) string {
	t.Helper()
	dir, err := folder()
	require.NoError(t, err)
	return filepath.Join(dir, "rows.db")
}

// send sends requests for one id to a library's server, as many as fit, and returns what came back
// and what the server used.
func send(t *testing.T, library string, f faults) (*tally, usage) {
	t.Helper()
	o, err := parse(nil, t.Output())
	require.NoError(t, err)
	s, err := startServer(o.child, job{library, database(t), time.Hour, time.Minute, f, false})
	require.NoError(t, err)
	defer s.Kill()
	ready, err := s.reply(t.Context())
	require.NoError(t, err)
	clock := pace.Start()
	sent := &traffic{
		address: ready.Address, rate: 1000, measure: 100 * time.Millisecond, connections: 100,
		timeout: time.Minute, ids: func() uint64 { return 7 },
	}
	got, err := sent.run(t.Context(), clock)
	require.NoError(t, err)
	used, err := s.usageAt(t.Context(), clock, 0)
	require.NoError(t, err)
	return got, used
}

// Requests for a key that is loaded share the load, in each library. Without a cache each has its
// own.
func TestLoadsAreShared(t *testing.T) {
	for i := range libraries {
		name := libraries[i].name
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, used := send(t, name, faults{Slow: 200 * time.Millisecond, SlowShare: 1})
			assert.EqualValues(t, 100, got.good)
			assert.Zero(t, got.failed+got.lost)
			assert.EqualValues(t, 100, used.Requests)
			switch {
			case name == "none":
				assert.EqualValues(t, 100, used.Loads)
			case strings.HasPrefix(name, ours):
				assert.EqualValues(t, 1, used.Loads)
			default: // a caller that has looked in vain may load just after the value was stored
				assert.Less(t, used.Loads, uint64(50))
			}
		})
	}
}

// Each answer to a request whose load failed is an error, in each library.
func TestErrorsAreCounted(t *testing.T) {
	for i := range libraries {
		name := libraries[i].name
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, used := send(t, name, faults{FailShare: 1})
			assert.Zero(t, got.good)
			assert.EqualValues(t, 100, got.failed)
			assert.Zero(t, got.lost)
			assert.EqualValues(t, 100, used.Requests)
			c := got.cell(100 * time.Millisecond)
			assert.EqualValues(t, 1, c.Errors)
			assert.Zero(t, c.Answered)
		})
	}
}

func TestFaults(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	f := faults{Seed: seed, SlowShare: 0.01, FailShare: 0.001}
	var slow, failed int
	const loads = 1_000_000
	for number := range uint64(loads) {
		s, fails := f.of(number)
		require.False(t, s && fails)
		if s {
			slow++
		}
		if fails {
			failed++
		}
	}
	assert.InEpsilon(t, loads/100, slow, 0.1)    // ten standard deviations
	assert.InEpsilon(t, loads/1000, failed, 0.3) // as many
	always := faults{SlowShare: 1}
	s, fails := always.of(1)
	assert.True(t, s && !fails)
	always = faults{FailShare: 1}
	s, fails = always.of(1)
	assert.True(t, !s && fails)
}

// The service gives each row as it is in the database.
func TestOrigin(t *testing.T) {
	o, err := openOrigin(t.Context(), database(t), faults{})
	require.NoError(t, err)
	defer func() { require.NoError(t, o.close()) }()
	for _, id := range []uint64{0, 7, rows - 1} {
		r, err := o.load(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, rowOf(id), *r)
	}
	_, err = o.load(t.Context(), rows)
	assert.ErrorContains(t, err, "row 10000: ")
	assert.EqualValues(t, 4, o.loads.Load())
	var next uint64
	require.NoError(t, o.all(t.Context(), func(r *row) {
		assert.Equal(t, rowOf(next), *r)
		next++
	}))
	assert.EqualValues(t, rows, next)
	assert.EqualValues(t, 4, o.loads.Load())
}
