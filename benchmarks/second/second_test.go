package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snowfence/snowfence/internal/valkeytest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

func TestMain(m *testing.M) {
	if cli.Measures(os.Args[1:]) { // a process that a test has started
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// What one cache has loaded, the next one finds on the server, one by one and in a batch.
func TestLibraries(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			_, err := server.Do(t.Context(), "FLUSHALL")
			require.NoError(t, err)
			b := &bench{load: load{Addr: server.Addr()}, library: l}
			keys := []string{"row-1", "row-2", "row-3"}
			for _, loads := range []int64{int64(len(keys)), 0} {
				require.NoError(t, b.with(t.Context(), smallCapacity, func(s *subject, o *origin) error {
					for _, key := range keys {
						require.NoError(t, b.read(t.Context(), s, key))
					}
					if s.flush != nil {
						require.NoError(t, s.flush(t.Context()))
					}
					require.Equal(t, loads, o.loads.Load())
					return nil
				}))
			}
			require.NoError(t, b.with(t.Context(), smallCapacity, func(s *subject, o *origin) error {
				if s.getMany == nil {
					return nil
				}
				require.NoError(t, readMany(t.Context(), s, keys))
				require.Zero(t, o.loads.Load())
				return nil
			}))
		})
	}
}

// A cache that gives the value of another key is no subject of a comparison.
func TestWrongValue(t *testing.T) {
	s := &subject{
		get: func(context.Context, string) (string, error) { return valueOf("row-2"), nil },
		getMany: func(context.Context, []string) (map[string]string, error) {
			return map[string]string{"row-2": valueOf("row-2")}, nil
		},
	}
	b := &bench{}
	require.NoError(t, b.read(t.Context(), s, "row-2"))
	require.ErrorContains(t, b.read(t.Context(), s, "row-1"), "row-1 has the value")
	require.NoError(t, readMany(t.Context(), s, []string{"row-2"}))
	require.ErrorContains(t, readMany(t.Context(), s, []string{"row-2", "row-1"}), "row-1 has the")
}

// The whole command: a server, processes, tables and JSON.
func TestCommand(t *testing.T) {
	if _, ok := valkeytest.Find(); !ok {
		t.Skipf("skipped: %v", valkeytest.ErrNotInstalled)
	}
	path := filepath.Join(t.TempDir(), "results.json")
	var out bytes.Buffer
	require.NoError(t, command(t.Context(), []string{"-keys", "1000", "-window", "50ms", "-rounds",
		"1", "-json", path, "-markdown"}, &out, io.Discard))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var results []result
	require.NoError(t, json.Unmarshal(data, &results))
	require.Len(t, results, len(libraries))
	for _, r := range results {
		for _, m := range []measured{r.Hit, r.Second, r.Load} {
			require.Positive(t, m.Time)
			require.Positive(t, m.P99)
		}
		require.InDelta(t, 1000, r.Load.Origin, 1e-9, "each key once")
		require.InDelta(t, 1, r.Herd.Loads, 1e-9, "one load for all callers of a process")
	}
	require.NotNil(t, results[0].Batch)
	require.Contains(t, out.String(), "| median | snowfence | go-redis/cache |")
	require.Contains(t, out.String(), "| reads from the server |")
}

func TestUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for want, args := range map[string][]string{
		`-libs: "lru"`:           {"-libs", "snowfence,lru"},
		"-rounds: 0: want":       {"-rounds", "0"},
		"-window: 0s: want":      {"-window", "0s"},
		"-keys: 7: want":         {"-keys", "7"},
		"-json: ":                {"-json", filepath.Join(file, "results.json")},
		`"now" is not a flag`:    {"now"},
		"not defined":            {"-no-such"},
		`not "lru" and "{}"`:     {"measure", "lru", "{}"},
		`not "snowfence" and "7`: {"measure", "snowfence", "7"},
		"0 keys: want":           {"measure", "snowfence", "{}"},
	} {
		err := command(t.Context(), args, io.Discard, io.Discard)
		require.ErrorIs(t, err, cli.ErrUsage, want)
		require.ErrorContains(t, err, want)
	}
	require.ErrorIs(t, command(t.Context(), []string{"-h"}, io.Discard, io.Discard), flag.ErrHelp)
}

// Each round begins with another library, and ratios are of values of one round.
func TestRounds(t *testing.T) {
	p, err := parse([]string{"-libs", "snowfence,go-redis/cache", "-rounds", "3"})
	require.NoError(t, err)
	var order []string
	results, err := p.measureAll(t.Context(), io.Discard,
		func(_ context.Context, l library) (*result, error) {
			order = append(order, l.name)
			slow := float64(len(order)) // the machine becomes slower
			if l.name != ours {
				slow *= 2
			}
			return &result{Library: l.name, Hit: measured{Time: slow, CPU: slow}}, nil
		})
	require.NoError(t, err)
	require.Equal(t, "snowfence go-redis/cache go-redis/cache snowfence snowfence go-redis/cache",
		strings.Join(order, " "))
	// Snowfence's values are 1, 4 and 5, and the other's 2·2, 2·3 and 2·6.
	cpu := &quantities[1]
	require.Equal(t, "4.0 s", cpu.median(results, ours).String())
	require.Equal(t, "6.0 s", cpu.median(results, "go-redis/cache").String())
	require.Equal(t, "2.40 (1.50–4.00)", cpu.ratio(results, "go-redis/cache").String())
	require.Equal(t, "0.2/s", quantities[0].median(results, ours).String())

	failed := errors.New("failed")
	_, err = p.measureAll(t.Context(), io.Discard,
		func(context.Context, library) (*result, error) { return nil, failed })
	require.ErrorIs(t, err, failed)
}
