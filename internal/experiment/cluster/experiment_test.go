package cluster

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/workload"
)

// plan returns the parameters that a command line asks for.
func plan(t *testing.T, args ...string) (Params, error) {
	t.Helper()
	p := defaults()
	set := params.Of(&p)
	cmd := &cobra.Command{}
	file := cmd.Flags().String("scenario", "", "")
	set.AddFlags(cmd)
	require.NoError(t, cmd.ParseFlags(args))
	if *file != "" {
		require.NoError(t, set.ReadFile(*file, "cluster"))
	}
	require.NoError(t, set.ApplyFlags())
	complete(&p, set)
	err := set.Validate(false, func(c *params.Checker) { rules(&p, c) })
	return p, err
}

func TestParams(t *testing.T) {
	valid := func(args ...string) Params {
		t.Helper()
		p, err := plan(t, args...)
		require.NoError(t, err)
		return p
	}
	usual := defaults()
	assert.Equal(t, usual, valid())

	want := Params{
		Ownerships: []Ownership{ByRing, ByKey}, Disturb: lab.Split,
		Window: lab.Window{Start: 6 * time.Second, End: 7 * time.Second}, Victims: 2,
		Nodes: 5, Duration: 20 * time.Second, Rate: 12.5,
		Keys: workload.KeySpec{Kind: workload.KindZipf, Skew: 0.9}, KeyCount: 11,
		TTL: 3 * time.Second, Capacity: 77, CopyTTL: -1, PeerTimeout: 300 * time.Millisecond,
		Timeout: 4 * time.Second, OriginErrors: 0.25, Seed: 9,
	}
	want.Size, _ = workload.UniformSize(64, 99)
	want.OriginLatency, _ = workload.ExponentialLatency(5 * time.Millisecond)
	got := valid("--nodes", "5", "--ownership", "ring,key", "--duration", "20s", "--rate", "12.5",
		"--keys", "zipf:0.9", "--key-count", "11", "--value-size", "uniform:64..99", "--ttl", "3s",
		"--capacity", "77", "--copy-ttl", "-1ns", "--peer-timeout", "300ms", "--timeout", "4s",
		"--origin-latency", "exp:5ms", "--origin-errors", "0.25",
		"--disturb", "split", "--start", "6s", "--end", "7s", "--victims", "2", "--seed", "9")
	assert.Equal(t, want, got)
	text, err := json.Marshal(nodeConfig{Params: &got, Name: "node1"})
	require.NoError(t, err)
	var there nodeConfig
	require.NoError(t, json.Unmarshal(text, &there))
	assert.Equal(t, want, *there.Params, "a node gets all of them")

	assert.Equal(t, []Ownership{BySlot, ByKey, ByRing, None}, valid("--ownership", "all").Ownerships)

	// The window keeps its place in a longer run, unless it was given.
	double := valid("--duration", "30s")
	assert.Equal(t, 2*usual.Start, double.Start)
	assert.Equal(t, 2*usual.End, double.End)
	short := valid("--duration", "2s")
	assert.Equal(t, time.Second, short.Start, "it takes a second to see what it was like before")
	assert.Greater(t, short.End, short.Start)
	fixed := valid("--duration", "30s", "--disturb", "kill", "--start", "1s")
	assert.Equal(t, time.Second, fixed.Start)
	assert.Equal(t, usual.End, fixed.End)

	read := valid("--scenario", "../../../testdata/scenarios/cluster-poison.yaml", "--ttl", "1s")
	assert.Equal(t, []Ownership{BySlot, ByKey, ByRing, None}, read.Ownerships)
	assert.Equal(t, lab.Poison, read.Disturb)
	assert.Equal(t, 5, read.Nodes)
	assert.Equal(t, time.Second, read.TTL)
}

func TestRules(t *testing.T) {
	for want, args := range map[string][]string{
		"--nodes: must be from 1 to 64, got 0":               {"--nodes", "0"},
		"--duration: must be at least 2s, got 1s":            {"--duration", "1s"},
		"--rate: must be above 0 and at most 100000, got 0":  {"--rate", "0"},
		"--key-count: must be from 1 to 10000000, got 0":     {"--key-count", "0"},
		"--value-size: must be at most 1MiB, got 2MiB":       {"--value-size", "2MiB"},
		"--ttl: must be at least 0s, got -1s":                {"--ttl", "-1s"},
		"--capacity: must be at least 1, got 0":              {"--capacity", "0"},
		"--peer-timeout: must be 0 or at least 1ms, got 1ns": {"--peer-timeout", "1ns"},
		"--timeout: must be above 0s, got 0s":                {"--timeout", "0s"},
		"--origin-errors: must be from 0 to 1, got 2":        {"--origin-errors", "2"},
		"--start: must be at least 1s, to know what it was like before, got 0s": {
			"--disturb", "kill", "--start", "0s"},
		"--end: must be after --start (5s), got 5s":        {"--disturb", "kill", "--end", "5s"},
		"--end: must be at most --duration (15s), got 20s": {"--disturb", "kill", "--end", "20s"},
		"--victims: must be at least 1 and below --nodes (3), got 3": {
			"--disturb", "restart", "--victims", "3"},
		"--nodes: must be at least 2 for --disturb rolling, got 1": {
			"--disturb", "rolling", "--nodes", "1"},
		"--nodes: must be at least 3 for --disturb poison, got 2": {
			"--disturb", "poison", "--nodes", "2"},
		"--nodes: must be at least 2 for --disturb split, got 1": {
			"--disturb", "split", "--nodes", "1"},
		"--ttl: must be above 0 and less than from --start to --end (4s), so that the key is loaded in " +
			"between, got 4s": {"--disturb", "poison", "--ttl", "4s"},
		"--start: has no effect: nothing is disturbed without --disturb": {"--start", "1s"},
		"--victims: has no effect: --disturb rolling is for all nodes": {
			"--disturb", "rolling", "--victims", "2"},
		"--victims: has no effect: --disturb poison is for whatever node loads the key": {
			"--disturb", "poison", "--victims", "2"},
		"--victims: has no effect: --disturb origin-slow is for the origin": {
			"--disturb", "origin-slow", "--victims", "1"},
		"--copy-ttl: has no effect: with --ownership none no node asks another": {
			"--ownership", "none", "--copy-ttl", "1s"},
	} {
		_, err := plan(t, args...)
		require.EqualError(t, err, want)
	}
}

// A pause is refused before any work where processes can't be paused.
func TestNoPause(t *testing.T) {
	defer func(before bool) { pausable = before }(pausable)
	pausable = false
	_, err := plan(t, "--disturb", "pause")
	require.EqualError(t, err,
		"--disturb: must be another one, since this system lacks SIGSTOP, got pause")
}
