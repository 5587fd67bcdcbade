//go:build linux

package clustertest

import (
	"testing"

	"github.com/snowfence/snowfence/registry"
)

// TestSplitOfNetworks splits a cluster of processes on a network of their own.
func TestSplitOfNetworks(t *testing.T) {
	t.Parallel()
	for _, resolver := range []registry.Resolver{registry.KeepNewest, registry.KeepOldest} {
		if testing.Short() && resolver == registry.KeepOldest {
			continue
		}
		t.Run(resolver.Name(), func(t *testing.T) {
			t.Parallel()
			left, right := []string{"a", "b"}, []string{"c", "d"}
			l := newLan(t, "a", "b", "c", "d")
			c := newCluster(t, l.start, spec{Resolver: resolver.Name()})
			c.add(left...)
			c.add(right...)
			split(c, left, right, func() { l.plug("right", right...) }, func() { l.plug("left", right...) })
		})
	}
}

// TestOverlappingSplitOfNetworks cuts two processes off from each other that both reach a third.
func TestOverlappingSplitOfNetworks(t *testing.T) {
	t.Parallel()
	l := newLan(t, "a", "b", "c")
	c := newCluster(t, l.start, spec{})
	c.add("a", "b", "c")
	c.whole("before the cut")
	l.isolate("on", "a", "b")
	beside(c)
	l.isolate("off", "a", "b")
	c.whole("after healing")
	c.agreed()
}
