package clustertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A herd is a number of callers that have been started.
type herd struct {
	c     *testCluster
	calls []*call
}

// let starts callers that fetch keys, on each of the nodes, or on all nodes if none is given.
// Caller i of a node fetches the key i % len(keys).
func (c *testCluster) let(callers int, d time.Duration, keys []string, nodes ...int) *herd {
	if len(nodes) == 0 {
		nodes = c.all()
	}
	h := &herd{c: c}
	for k, i := range nodes {
		n := (callers + k) / len(nodes) // so that their sum is callers
		if n > 0 {
			h.calls = append(h.calls, c.nodes[i].begin(command{Op: "fetch", Keys: keys, Callers: n,
				Deadline: d}))
		}
	}
	return h
}

// letMany starts one caller on each of the nodes, which fetches all keys at once.
func (c *testCluster) letMany(keys []string, nodes ...int) *herd {
	h := &herd{c: c}
	for _, i := range nodes {
		h.calls = append(h.calls, c.nodes[i].begin(command{Op: "fetch many", Keys: keys,
			Deadline: deadline}))
	}
	return h
}

// wait returns what the callers got, without those on nodes that were killed. No value may be
// wrong.
func (h *herd) wait() []*result {
	h.c.tb.Helper()
	var all []*result
	for _, call := range h.calls {
		r, err := call.wait()
		if errors.Is(err, errEnded) {
			continue
		}
		require.NoError(h.c.tb, err)
		all = append(all, r.Results...)
	}
	for i := range all {
		if text := h.c.origin.check(all[i]); text != "" {
			h.c.tb.Errorf("%s", text)
		}
	}
	return all
}

// fetch starts callers on the nodes, which fetch keys, and returns what they got.
func (c *testCluster) fetch(callers int, keys []string, nodes ...int) []*result {
	c.tb.Helper()
	return c.let(callers, deadline, keys, nodes...).wait()
}

// value fetches a key on a node, which must return a value.
func (c *testCluster) value(i int, key string) *result {
	c.tb.Helper()
	r := c.fetch(1, []string{key}, i)
	require.Len(c.tb, r, 1)
	require.Empty(c.tb, r[0].Error, "%s fetches %q", nameOf(i), key)
	return r[0]
}

// values checks that all callers got a value.
func values(tb testing.TB, results []*result) {
	tb.Helper()
	failures := make(map[string]int)
	for i := range results {
		if r := results[i]; r.Error != "" {
			failures[r.Node+": "+r.Error]++
		}
	}
	require.Empty(tb, failures, "callers that got an error, of %d", len(results))
}

// within checks that all callers got something within the promised bound, which is two peer
// time-outs and the origin's time for a load.
func (c *testCluster) within(results []*result, load time.Duration) {
	c.tb.Helper()
	bound := 2*c.base.PeerTimeout + load + slack
	late := 0
	var most time.Duration
	for i := range results {
		if took := results[i].took(); took > bound {
			late++
			most = max(most, took)
		}
	}
	require.Zero(c.tb, late, "callers of %d that waited longer than %v, up to %v", len(results), bound,
		most)
}

// untilLoads waits until a key has had n loads.
func (c *testCluster) untilLoads(n int, keys ...string) {
	c.tb.Helper()
	waitUntil(c.tb, fmt.Sprintf("%d loads of %q", n, keys), func() string {
		if got := c.origin.count(keys...); got < n {
			return fmt.Sprintf("%d loads", got)
		}
		return ""
	})
}

// owned returns keys that a node owns and no node has cached: they were loaded there once, and
// deleted since.
func (c *testCluster) owned(i, n int, prefix string) []string {
	c.tb.Helper()
	var list []string
	for k := 0; len(list) < n; k++ {
		require.Less(c.tb, k, 200+100*n, "%s gets no keys", nameOf(i))
		key := fmt.Sprintf("%s/%d", prefix, k)
		before := c.origin.count(key)
		c.value(i, key)
		loads := c.origin.of(key)
		require.Len(c.tb, loads, before+1, "loads of %q", key)
		if loads[before].node == nameOf(i) {
			c.remove(i, key)
			list = append(list, key)
		}
	}
	return list
}

// remove deletes a key on all nodes, which must confirm it.
func (c *testCluster) remove(i int, key string) *reply {
	c.tb.Helper()
	r, err := c.nodes[i].do(command{Op: "delete", Keys: []string{key}, Deadline: deadline})
	require.NoError(c.tb, err)
	require.Empty(c.tb, r.Error, "%s deletes %q", nameOf(i), key)
	return r
}

// series returns n keys.
func series(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s/%d", prefix, i)
	}
	return list
}
