package clustertest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
)

// TestLargeMetadata registers metadata that do not fit into a packet.
func TestLargeMetadata(t *testing.T) {
	t.Parallel()
	c := newCluster(t, startProcess, spec{MaxMeta: 1<<16 - 1})
	c.add("a", "b", "c")
	r := rand.New(rand.NewPCG(1, 1))
	metas := make(map[string][]byte)
	// With the most metadata it fills a frame of its own.
	longest := strings.Repeat("\xff", registry.MaxName)
	for i, size := range []int{0, 1, 1100, 1400, 4096, 60_000, 65_535} {
		name := fmt.Sprintf("of %d bytes", size)
		if size == 65_535 {
			name = longest
		}
		metas[name] = make([]byte, size)
		for j := range metas[name] {
			metas[name][j] = byte(r.Uint32())
		}
		node := c.nodes[i%3].spec.Name
		require.Equal(t, []string{""}, c.node(node).register(metas[name], name))
		c.want[name] = node
	}
	c.whole("large metadata")
	c.add("d")
	c.whole("a node that comes late has them too")
	for _, n := range c.nodes {
		for name, meta := range metas {
			got := n.ask(&request{Op: "lookup", Names: asBytes([]string{name})}).Claims
			require.Len(t, got, 1)
			require.True(t, bytes.Equal(meta, got[0].Meta), "%s, %d bytes of metadata", n.spec.Name,
				len(meta))
		}
	}
	require.NotZero(t, c.node("a").stats().Network.Reliable.FramesOut)
}

// TestNamesOfAnyBytes registers names that are not text.
func TestNamesOfAnyBytes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, startProcess, spec{})
	c.add("a", "b")
	var names []string
	for i := range 256 {
		names = append(names, string([]byte{byte(i)}))
	}
	names = append(names, "\x00\x00", "a\nb", "a\x00", "ü", "\xc3\xc3", "\xf0\x9f\x8c\xa8", "  ",
		"%s%n", strings.Repeat("\x80", 3000))
	c.register("a", names...)
	c.whole("names of any bytes")
	c.release("a", names[:200]...)
	c.whole("some are released")
	c.register("b", names[:200]...)
	c.whole("and taken by the other")
}

// TestLateJoin makes a node join a cluster with many names.
func TestLateJoin(t *testing.T) {
	t.Parallel()
	names := 20_000
	if testing.Short() {
		names = 5_000
	}
	c := newCluster(t, startLocal, spec{Partitions: 16})
	c.add("a", "b")
	c.whole("two nodes")
	start := time.Now()
	c.register("a", series("of a", names/2)...)
	c.register("b", series("of b", names/2)...)
	t.Logf("%d names registered in %v", names, time.Since(start).Round(time.Millisecond))
	c.whole("two nodes have all names")

	start = time.Now()
	c.add("late")
	took := time.Since(start)
	s := c.node("late").stats()
	require.Equal(t, names, s.Names, "at the moment when Open returns")
	t.Logf("the third had all %d names %v after it began to open, by %d bytes in %d frames",
		names, took.Round(time.Millisecond), s.Network.Reliable.BytesIn, s.Network.Reliable.FramesIn)
	c.whole("all have all names")
	require.Less(t, s.Network.Reliable.BytesIn, uint64(names*100), "each name comes about once")
}
