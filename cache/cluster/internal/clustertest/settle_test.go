package clustertest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// state returns a node's state.
func (c *testCluster) state(i int) *state {
	c.tb.Helper()
	r, err := c.nodes[i].do(command{Op: "state"})
	require.NoError(c.tb, err)
	return r.State
}

// slowWait is the time after which it is logged what a test still waits for.
const slowWait = 8 * time.Second

// waitUntil waits until missing returns "", which otherwise says what is missing, and returns how
// long it took.
func waitUntil(tb testing.TB, what string, missing func() string) time.Duration {
	tb.Helper()
	start, tell := time.Now(), slowWait
	for {
		text := missing()
		took := time.Since(start)
		if text != "" && took > tell {
			tell += slowWait
			tb.Logf("%s: after %v still missing: %s", what, took.Round(time.Millisecond), text)
		}
		switch {
		case text == "":
			return took
		case took > patience:
			tb.Fatalf("%s: not within %v: %s", what, patience, text)
		}
		time.Sleep(60 * time.Millisecond)
	}
}

// settle waits until the cluster is calm: the nodes of each group, all running ones if none is
// given, see each other and nobody else, know of the same deletes, hold as many slots, and no name
// has changed hands for a while.
func (c *testCluster) settle(groups ...[]int) {
	c.tb.Helper()
	if len(groups) == 0 {
		groups = [][]int{c.running()}
	}
	type moves struct {
		claimed, released, lost uint64
		held                    int
	}
	var last []moves
	var since time.Time
	waitUntil(c.tb, fmt.Sprintf("settle %v", groups), func() string {
		var now []moves
		for _, group := range groups {
			least, most, held := c.base.Slots, 0, 0
			for _, i := range group {
				s := c.state(i)
				if text := c.stranger(i, group, s); text != "" {
					return text
				}
				now = append(now, moves{s.Stats.Claimed, s.Stats.Released, s.Stats.Lost, s.Stats.Held})
				least, most, held = min(least, s.Stats.Held), max(most, s.Stats.Held), held+s.Stats.Held
			}
			if c.base.Ownership == "slot" && (held != c.base.Slots || most > least+1) {
				return fmt.Sprintf("%d to %d slots are held by each node of %v, %d in all", least, most, group,
					held)
			}
		}
		if !slices.Equal(now, last) {
			last, since = now, time.Now()
		}
		if time.Since(since) < calmFor {
			return "names change hands"
		}
		return ""
	})
}

// calmFor is how long no name must have changed hands for the cluster to be calm.
const calmFor = 600 * time.Millisecond

// stranger returns how the members of a node differ from its group.
func (c *testCluster) stranger(i int, group []int, s *state) string {
	var others []string
	for _, k := range group {
		if k != i {
			others = append(others, nameOf(k))
		}
	}
	slices.Sort(others)
	var peers []string
	for _, p := range s.Stats.Peers {
		if p.Differs != "" {
			continue
		}
		peers = append(peers, p.Node)
		if slices.Contains(others, p.Node) && !p.Synced {
			return fmt.Sprintf("%s has deletes that it does not know to be on %s", nameOf(i), p.Node)
		}
		if slices.Contains(others, p.Node) && p.Breaker == "open" {
			return fmt.Sprintf("%s passes over %s", nameOf(i), p.Node)
		}
	}
	slices.Sort(peers)
	members := slices.DeleteFunc(slices.Clone(s.Members),
		func(m string) bool { return m == nameOf(i) })
	slices.Sort(members)
	switch {
	case !slices.Equal(members, others):
		return fmt.Sprintf("the registry of %s sees %v instead of %v", nameOf(i), members, others)
	case !slices.Equal(peers, others):
		return fmt.Sprintf("the cache of %s sees %v instead of %v", nameOf(i), peers, others)
	}
	return ""
}
