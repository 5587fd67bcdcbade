package scenario

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseRegistry(t *testing.T) {
	s, err := Parse("dir/x.yaml", []byte(`
kind: registry
description: "every kind of field"
registry:
  nodes: 7
  processes: true
  partitions: "1, 4,16"
  resolver: oldest
  names: 10
  rate: 0.5
  churn: 0
  contested: 3
  queue: 9
  gossip: 20ms
  probe: 1s
disturb: {kind: flap, nodes: 7, start: 1s, end: 8s, period: 50ms, skew: -3s}
expect: {whole_within: 2s, queue_at_most: 40}
`))
	require.NoError(t, err)
	want := Default()
	want.Name, want.Description, want.Kind = "x", "every kind of field", KindRegistry
	want.Registry = Registry{
		Nodes: 7, Processes: true, Partitions: Counts{1, 4, 16}, Resolver: Oldest, Names: 10, Rate: 0.5,
		Contested: 3, Queue: 9,
		Gossip: 20 * time.Millisecond, Probe: time.Second,
	}
	want.Disturb = Disturb{Kind: DisturbFlap, Nodes: 7, Start: time.Second, End: 8 * time.Second,
		Period: 50 * time.Millisecond, Skew: -3 * time.Second}
	want.Expect = Expect{WholeWithin: 2 * time.Second, QueueAtMost: 40}
	require.Equal(t, *want, plain(s))

	text, err := s.YAML()
	require.NoError(t, err)
	require.NotContains(t, string(text), "origin:", "it has no meaning for a registry")
	require.NotContains(t, string(text), "healthy_drop_off")
	require.Contains(t, string(text), "partitions: 1,4,16\n")
	again, err := Parse("x.yaml", text)
	require.NoError(t, err)
	require.Equal(t, *want, plain(again))
}

// What a cache's scenario is written as has nothing of a registry.
func TestYAMLOfACache(t *testing.T) {
	text, err := Default().YAML()
	require.NoError(t, err)
	for _, foreign := range []string{"registry", "disturb", "whole_within"} {
		require.NotContains(t, string(text), foreign)
	}
	require.Contains(t, string(text), "kind: cache\n")
}

func TestRegistryErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"kind: registri\n", `x.yaml:1: kind: must be one of cache, registry, got "registri" (did you mean registry?)`},
		{"registry: {nodes: 3}\n", "x.yaml:1: registry: has no meaning for cache scenarios"},
		{"expect:\n  whole_within: 3s\n",
			"x.yaml:2: expect.whole_within: has no meaning for cache scenarios"},
		{"kind: registry\ncache: {ttl: 1s}\nmix: {}\n",
			"x.yaml:2: cache: has no meaning for registry scenarios\nx.yaml:3: mix: has no meaning for " +
				"registry scenarios"},
		{"kind: registry\nexpect: {alike: 0.1}\n",
			"x.yaml:2: expect.alike: has no meaning for registry scenarios"},
		{"nodes: 0", "x.yaml:3: registry.nodes: must be from 1 to 64, got 0"},
		{"nodes: 65", "x.yaml:3: registry.nodes: must be from 1 to 64, got 65"},
		{"partitions: 0", `x.yaml:3: registry.partitions: must be whole numbers above 0 with commas between them, such as 1,16, got "0" in "0"`},
		{"partitions: '1,x'", `x.yaml:3: registry.partitions: must be whole numbers above 0 with commas between them, such as 1,16, got "x" in "1,x"`},
		{"partitions: ''", `x.yaml:3: registry.partitions: must be whole numbers above 0 with commas between them, such as 1,16, got "" in ""`},
		{"partitions: '4,4'", "x.yaml:3: registry.partitions: 4 stands there twice"},
		{"partitions: 5000", "x.yaml:3: registry.partitions: must be from 1 to 4096, got 5000"},
		{"partitions: [1, 16]", "x.yaml:3: registry.partitions: must be text, got a list"},
		{"partitions: '1,2,3,4,5,6,7,8,9'", "x.yaml:3: registry.partitions: must be at most 8 numbers"},
		{"resolver: last", `x.yaml:3: registry.resolver: must be one of newest, oldest, got "last"`},
		{"churn: 1", "x.yaml:3: registry.churn: must be at least 0 and below 1, got 1"},
		{"queue: -1", "x.yaml:3: registry.queue: must not be negative, got -1"},
		{"gossip: 0s", "x.yaml:3: registry.gossip: must be from 1ms to 1m0s, got 0s"},
		{"nodes: 1", "x.yaml:2: registry.contested: needs two nodes that claim a name, and " +
			"registry.nodes is 1"},
		{"nodes: 1, contested: 0}\ndisturb: {kind: split",
			"x.yaml:4: disturb.kind: split needs at least 2 nodes, and registry.nodes is 1"},
		{"nodes: 3}\ndisturb: {kind: kill, nodes: 3",
			"x.yaml:4: disturb.nodes: must leave a node alone: at most 2 of 3 (registry.nodes), got 3"},
		{"nodes: 3}\ndisturb: {kind: spilt",
			`x.yaml:4: disturb.kind: must be one of none, kill, restart, split, flap, skew, got "spilt" (did you mean split?)`},
		{"nodes: 3}\ndisturb: {start: 3s, end: 1s",
			"x.yaml:4: disturb.end: must be after disturb.start (3s), got 1s"},
		{"nodes: 3}\ndisturb: {end: 9s", "x.yaml:4: disturb.end: must be at most duration (8s), got 9s"},
		{"nodes: 3}\ndisturb: {skew: 2h",
			"x.yaml:4: disturb.skew: must be from -1h0m0s to 1h0m0s, got 2h0m0s"},
		{"nodes: 3}\nexpect: {queue_at_most: -1",
			"x.yaml:4: expect.queue_at_most: must not be negative, got -1"},
	} {
		text := tt.text
		if !strings.HasSuffix(text, "\n") {
			text = "kind: registry\nregistry:\n  {" + text + "}\n"
		}
		_, err := Parse("x.yaml", []byte(text))
		require.EqualError(t, err, tt.want, text)
	}
}
