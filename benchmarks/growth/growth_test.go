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

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

func TestMain(m *testing.M) {
	if cli.Measures(os.Args[1:]) { // a process that a test has started
		main()
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(
		"github.com/golang/glog.(*fileSink).flushDaemon"))
}

// A library holds what it was given, and loads what it lacks.
func TestLibraries(t *testing.T) {
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			c, err := l.make(100)
			require.NoError(t, err)
			for key := range 10 {
				c.set(key)
			}
			require.NoError(t, c.fetch(t.Context(), 10))
			if c.wait != nil {
				c.wait()
			}
			require.InDelta(t, 11, held(c, 11), 1e-9)
			require.NoError(t, c.close())
		})
	}
}

// The whole command: processes, tables, charts and JSON.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "results.json")
	var out bytes.Buffer
	require.NoError(t, command(t.Context(), []string{"-libs", "snowfence,golang-lru", "-sizes",
		"2000,1000", "-rounds", "1", "-svg", dir, "-json", path, "-markdown"}, &out, io.Discard))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var results []result
	require.NoError(t, json.Unmarshal(data, &results))
	require.Len(t, results, 4)
	for _, r := range results {
		for _, q := range quantities {
			require.Positive(t, q.of(&r), "%s: %+v", q.name, r)
		}
		require.InDelta(t, r.Entries, r.Held, 1e-9)
		require.Positive(t, r.Taken)
	}
	for _, q := range quantities {
		require.Contains(t, out.String(), "| "+q.name+" | snowfence | golang-lru |")
		if q.chart != "" {
			drawn, err := os.ReadFile(filepath.Join(dir, q.chart))
			require.NoError(t, err)
			require.Contains(t, string(drawn), "golang-lru")
		}
	}
	require.Contains(t, out.String(), "| 2,000 entries")
	require.NotContains(t, out.String(), "Not measured")

	var again bytes.Buffer
	require.NoError(t, command(t.Context(), []string{"-from", path, "-markdown"}, &again, io.Discard))
	require.Equal(t, out.String(), again.String())
}

func TestUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for want, args := range map[string][]string{
		`-libs: "lru"`:           {"-libs", "snowfence,lru"},
		`-sizes: "7": want`:      {"-sizes", "7"},
		`-sizes: "": want`:       {"-sizes", "1000,"},
		"-rounds: 0: want":       {"-rounds", "0"},
		"-json: ":                {"-json", filepath.Join(file, "results.json")},
		"-svg: ":                 {"-svg", file},
		"-from: ":                {"-from", file},
		`"now" is not a flag`:    {"now"},
		"not defined":            {"-no-such"},
		`not "lru" and "1000"`:   {"measure", "lru", "1000"},
		`not "otter" and "many"`: {"measure", "otter", "many"},
		"0 entries: want":        {"measure", "otter", "0"},
	} {
		err := command(t.Context(), args, io.Discard, io.Discard)
		require.ErrorIs(t, err, cli.ErrUsage, want)
		require.ErrorContains(t, err, want)
	}
	require.ErrorIs(t, command(t.Context(), []string{"-h"}, io.Discard, io.Discard), flag.ErrHelp)
}

// Each round begins with another library, and ratios are of values of one round.
func TestRounds(t *testing.T) {
	p, err := parse([]string{"-libs", "snowfence,otter", "-sizes", "1000,2000", "-rounds", "3"})
	require.NoError(t, err)
	var order []string
	r := &run{plan: p, progress: io.Discard, needs: make(map[string]need),
		measure: func(_ context.Context, l library, entries int) (*result, error) {
			order = append(order, l.name)
			slow := float64(len(order)) // the machine becomes slower
			if l.name == "otter" {
				slow *= 2
			}
			return &result{Library: l.name, Entries: entries, Hit: slow}, nil
		}}
	require.NoError(t, r.rounds(t.Context()))
	require.Equal(t, "snowfence otter otter snowfence snowfence otter",
		strings.Join(order[:len(order)/2], " "))
	// Snowfence's values are 1, 4 and 5, and otter's 2·2, 2·3 and 2·6.
	require.Equal(t, "6.0 s ×2.40", quantities[0].cell(r.results, "otter", 1000).String())
	require.Equal(t, "4.0 s", quantities[0].cell(r.results, ours, 1000).String())

	failed := errors.New("failed")
	r.measure = func(context.Context, library, int) (*result, error) { return nil, failed }
	require.ErrorIs(t, r.rounds(t.Context()), failed)
}

// A size for which memory is lacking is skipped in all rounds, with the reason, and the table has a
// gap.
func TestMemoryIsLacking(t *testing.T) {
	if _, ok := availableMemory(); !ok {
		t.Skip("the system does not report its memory")
	}
	p, err := parse([]string{"-libs", "snowfence,otter", "-sizes", "1000,2000", "-rounds", "2"})
	require.NoError(t, err)
	r := &run{plan: p, progress: io.Discard, needs: make(map[string]need),
		measure: func(_ context.Context, l library, entries int) (*result, error) {
			m := &result{Library: l.name, Entries: entries, Hit: 1, Taken: 1}
			if l.name == "otter" {
				m.Taken = 1 << 60
			}
			return m, nil
		}}
	require.NoError(t, r.rounds(t.Context()))
	require.Len(t, r.skipped, 2, "after the first round not even the smaller size")
	require.Contains(t, r.skipped[1], "otter with 2,000 entries: it may take ")
	var out bytes.Buffer
	require.NoError(t, show(&out, r.results, r.skipped, true))
	require.Contains(t, out.String(), "| 2,000 entries ↓ | 1.0 s | – |")
	require.Contains(t, out.String(), "Not measured: otter with 2,000 entries")
}

// An interrupted run shows what it has, and is an error.
func TestInterrupt(t *testing.T) {
	p, err := parse([]string{"-libs", "snowfence", "-sizes", "1000", "-rounds", "2"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	measure := func(_ context.Context, l library, entries int) (*result, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		cancel()
		return &result{Library: l.name, Entries: entries, Hit: 1}, nil
	}
	var out bytes.Buffer
	require.ErrorIs(t, p.run(ctx, &out, io.Discard, measure), context.Canceled)
	require.Contains(t, out.String(), "1.0 s")
}

func TestEstimate(t *testing.T) {
	require.InDelta(t, 7e5, need{}.estimate(1000), 1e-6)
	require.InDelta(t, 3000, need{1000, 300}.estimate(10_000), 1e-6)
	require.InDelta(t, 300, need{1000, 300}.estimate(1000), 1e-6)
}
