package clusterbench

import (
	"context"
	"flag"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/usage"
	"github.com/snowfence/snowfence/registry"
)

var (
	names = flag.Int("clusterbench.names", 100_000,
		"how many names the cluster of a join, or of the heap, holds")
	churned = flag.Int("clusterbench.churn", 10_000,
		"how many names a second are released and registered during a join")

	spreads  = []int{10_000, 100_000}
	bursts   = []int{64, 20_000} // names that go in packets, and over connections
	clusters = []int{3, 16}
	settle   = 3 * time.Second // until nodes that have met say no more than usual
)

// openFor returns a cluster that is closed when the benchmark ends.
func openFor(b *testing.B, s setup) *cluster {
	b.Helper()
	c, err := s.open(b.Context())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, c.close()) })
	return c
}

// BenchmarkVisible registers names on one or on all of three nodes, without a pause, until all show
// them, and then releases them. An operation is a name that is registered.
func BenchmarkVisible(b *testing.B) {
	for _, from := range []int{1, 3} {
		b.Run("from="+strconv.Itoa(from), func(b *testing.B) {
			c := openFor(b, setup{nodes: 3})
			each := (b.N + from - 1) / from
			held := make([][]*registry.Registration, from)
			b.ReportAllocs()
			b.ResetTimer()
			require.NoError(b, inParallel(from, from, func(i int) (err error) {
				held[i], err = register(c.nodes[i], i*each, each, 4)
				return err
			}))
			registered := b.Elapsed()
			require.NoError(b, c.visible(b.Context(), each*from))
			b.StopTimer()
			b.ReportMetric(perName(registered, each*from), "register-µs/name")
			start := time.Now()
			require.NoError(b, inParallel(from, from, func(i int) error { return release(held[i], 4) }))
			require.NoError(b, c.visible(b.Context(), 0))
			b.ReportMetric(perName(time.Since(start), each*from), "release-µs/name")
			require.NoError(b, c.check())
		})
	}
}

// perName returns a time in microseconds for each of n names.
func perName(d time.Duration, n int) float64 { return d.Seconds() * 1e6 / float64(n) }

// BenchmarkOneAtATime registers and releases one name; each change waits until two other nodes have
// seen the previous one.
func BenchmarkOneAtATime(b *testing.B) {
	c := openFor(b, setup{nodes: 3})
	const name = "name"
	var watchers []*registry.Watcher
	for _, r := range c.nodes[1:] {
		w := r.Watch(b.Context(), registry.WatchNames(name))
		b.Cleanup(w.Close)
		watchers = append(watchers, w)
	}
	see := func(times *measured.Times, since time.Time, kind registry.EventKind) {
		for _, w := range watchers {
			e, err := w.Next(b.Context())
			require.NoError(b, err)
			require.Equal(b, kind, e.Kind)
		}
		times.Add(time.Since(since))
	}
	var registered, released measured.Times
	for b.Loop() {
		start := time.Now()
		g, err := c.nodes[0].RegisterFor(b.Context(), context.Background(), name, meta)
		require.NoError(b, err)
		see(&registered, start, registry.Registered)
		start = time.Now()
		require.NoError(b, g.Release())
		see(&released, start, registry.Unregistered)
	}
	b.ReportMetric(registered.At(50).Seconds()*1e3, "register-p50-ms")
	b.ReportMetric(registered.At(99).Seconds()*1e3, "register-p99-ms")
	b.ReportMetric(released.At(50).Seconds()*1e3, "release-p50-ms")
}

// BenchmarkSpread registers names on one of three nodes as fast as it takes them. An operation is
// all of them, until all nodes show them.
func BenchmarkSpread(b *testing.B) {
	for _, n := range spreads {
		b.Run("names="+strconv.Itoa(n), func(b *testing.B) {
			var cpu time.Duration
			var sum sums
			for b.Loop() {
				b.StopTimer()
				c, err := setup{nodes: 3}.open(b.Context())
				require.NoError(b, err)
				before := usage.CPU()
				b.StartTimer()
				_, err = register(c.nodes[0], 0, n, 4)
				require.NoError(b, err)
				require.NoError(b, c.visible(b.Context(), n))
				b.StopTimer()
				cpu += usage.CPU() - before
				sum.add(c.nodes...)
				require.NoError(b, c.check())
				require.NoError(b, c.close())
				b.StartTimer()
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "names/s")
			b.ReportMetric(perName(cpu, n*b.N), "cpu-µs/name")
			b.ReportMetric(float64(sum.queueHigh), "queue-high")
			b.ReportMetric(float64(sum.pulls)/float64(b.N), "pulls")
		})
	}
}

// liveHeap returns the bytes that are reachable.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkHeap measures what names and their registrations take on the node where their holders
// live, without what the holders keep themselves.
func BenchmarkHeap(b *testing.B) {
	heap, stats := 0.0, 0.0
	for b.Loop() {
		c, err := setup{nodes: 1}.open(b.Context())
		require.NoError(b, err)
		before := liveHeap()
		_, err = register(c.nodes[0], 0, *names, 1)
		require.NoError(b, err)
		require.NoError(b, c.quiet(b.Context()))
		heap += liveHeap() - before
		stats += float64(c.nodes[0].Stats().HeapBytes)
		require.NoError(b, c.close())
	}
	b.ReportMetric(heap/float64(*names*b.N), "heap-B/name")
	b.ReportMetric(stats/float64(*names*b.N), "stats-B/name")
}

// fill makes a cluster of two nodes that hold half of the names each. They meet when they have
// them, which takes less time than to tell each other name by name.
func fill(b *testing.B, names int) *cluster {
	b.Helper()
	c := openFor(b, setup{nodes: 1, metered: true})
	second, err := c.addTo(b.Context(), nil)
	require.NoError(b, err)
	half := names / 2
	for i, r := range c.nodes {
		_, err := register(r, i*half, half+i*(names%2), 2)
		require.NoError(b, err)
	}
	_, err = second.Join(b.Context(), c.nodes[0].Addr())
	require.NoError(b, err)
	require.NoError(b, c.assemble(b.Context()))
	require.NoError(b, c.visible(b.Context(), names))
	require.NoError(b, c.quiet(b.Context()))
	return c
}

// BenchmarkJoin has a node join two that hold names, and leave again. An operation is the join,
// until the node has all names, which is when Open returns.
func BenchmarkJoin(b *testing.B) {
	b.Run("names="+strconv.Itoa(*names), func(b *testing.B) {
		ctx := b.Context()
		c := fill(b, *names)
		var cpu time.Duration
		var moved uint64
		var sum sums
		heap, stats := 0.0, 0.0
		for b.Loop() {
			b.StopTimer()
			heap -= liveHeap()
			before, busy := c.moved(), usage.CPU()
			b.StartTimer()
			r, err := c.add(ctx)
			b.StopTimer()
			require.NoError(b, err)
			cpu += usage.CPU() - busy
			require.NoError(b, c.visible(ctx, *names))
			moved += c.moved() - before
			require.NoError(b, c.quiet(ctx))
			require.NoError(b, c.assemble(ctx))
			heap += liveHeap()
			stats += float64(r.Stats().HeapBytes)
			sum.add(r)
			require.NoError(b, c.check())
			require.NoError(b, c.dismiss(ctx))
			b.StartTimer()
		}
		all := float64(*names * b.N)
		b.ReportMetric(float64(moved)/all, "wire-B/name")
		b.ReportMetric(perName(cpu, *names*b.N), "cpu-µs/name")
		b.ReportMetric(heap/all, "heap-B/name")
		b.ReportMetric(stats/all, "stats-B/name")
		b.ReportMetric(float64(sum.pulls)/float64(b.N), "pulls")
		b.ReportMetric(float64(sum.timeouts)/float64(b.N), "timeouts")
	})
}

// BenchmarkJoinUnderChurn has a node join while names are released and others registered.
func BenchmarkJoinUnderChurn(b *testing.B) {
	b.Run("names="+strconv.Itoa(*names)+"/churn="+strconv.Itoa(*churned), func(b *testing.B) {
		total := make(map[string]float64)
		for b.Loop() {
			b.StopTimer()
			c := fill(b, *names)
			churning, end := context.WithCancel(b.Context())
			t := turnover{node: c.nodes[0], first: *names, rate: float64(*churned),
				done: make(chan struct{})}
			go t.run(churning)
			time.Sleep(time.Second) // until tombstones run out
			var before, after, own sums
			before.add(c.nodes...)
			moved, busy, start := c.moved(), usage.CPU(), time.Now()
			b.StartTimer()
			r, err := c.add(b.Context())
			b.StopTimer()
			total["cpu-s"] += (usage.CPU() - busy).Seconds()
			total["wire-B"] += float64(c.moved() - moved)
			after.add(c.nodes...)
			end()
			<-t.done
			require.NoError(b, err)
			require.NoError(b, t.err)
			require.NoError(b, c.visible(b.Context(), *names))
			own.add(r)
			total["whole-s"] += time.Since(start).Seconds() // the churn has ended
			total["turned/s"] += float64(t.turned) / t.took.Seconds()
			total["served"] += float64(after.served - before.served)
			total["resyncs"] += float64(own.resyncs) // tombstones did not reach back far enough
			total["checks"] += float64(own.checks)
			total["pulls"] += float64(own.pulls)
			total["timeouts"] += float64(own.timeouts)
			require.NoError(b, c.close())
			b.StartTimer()
		}
		for unit, sum := range total {
			b.ReportMetric(sum/float64(b.N), unit)
		}
	})
}

// BenchmarkIdle listens to nodes to which nothing happens: two with few and with many partitions,
// and a large cluster. An operation is 100 ms of that. The membership's share of the bytes holds
// the frames in which it sends ours.
func BenchmarkIdle(b *testing.B) {
	for _, s := range []setup{
		{nodes: 2, partitions: 16, metered: true}, {nodes: 2, partitions: 4096, metered: true},
		{nodes: clusters[1], metered: true},
	} {
		b.Run("nodes="+strconv.Itoa(s.nodes)+"/partitions="+strconv.Itoa(s.partitions),
			func(b *testing.B) {
				c := openFor(b, s)
				_, err := register(c.nodes[0], 0, bursts[0], 1)
				require.NoError(b, err)
				require.NoError(b, c.visible(b.Context(), bursts[0]))
				require.NoError(b, c.quiet(b.Context()))
				time.Sleep(settle)
				var before, after sums
				before.add(c.nodes...)
				all, busy := c.meter.Traffic(), usage.CPU()
				b.ResetTimer()
				for b.Loop() {
					time.Sleep(100 * time.Millisecond)
				}
				took := b.Elapsed().Seconds()
				cpu, now := usage.CPU()-busy, c.meter.Traffic()
				after.add(c.nodes...)
				each := took * float64(s.nodes)
				moved := float64(now.PacketBytes+now.StreamBytes-all.PacketBytes-all.StreamBytes) / each
				ours := float64(after.sent()-before.sent()) / each
				b.ReportMetric(ours, "ours-B/node/s")
				b.ReportMetric(moved-ours, "membership-B/node/s")
				b.ReportMetric(float64(now.Packets-all.Packets)/each, "packets/node/s")
				b.ReportMetric(float64(now.Streams-all.Streams)/each, "streams/node/s")
				b.ReportMetric(100*cpu.Seconds()/took, "cpu-%")
			})
	}
}

// BenchmarkBytes counts what nodes send for each name, from the first registration on one node
// until all nodes show all names and gossip repeats none any more. Gossip is for clusters larger
// than these, see Config.GossipAbove.
func BenchmarkBytes(b *testing.B) {
	for _, s := range []setup{{nodes: clusters[0]}, {nodes: clusters[1]},
		{nodes: clusters[1], gossip: true}} {
		for _, n := range bursts {
			path := ""
			if s.gossip {
				path = "/gossip"
			}
			b.Run("nodes="+strconv.Itoa(s.nodes)+path+"/names="+strconv.Itoa(n), func(b *testing.B) {
				var sum networkBytes
				for b.Loop() {
					c, err := s.open(b.Context())
					require.NoError(b, err)
					require.NoError(b, c.quiet(b.Context()))
					time.Sleep(settle)
					var before, after sums
					before.add(c.nodes...)
					_, err = register(c.nodes[0], 0, n, 4)
					require.NoError(b, err)
					require.NoError(b, c.visible(b.Context(), n))
					require.NoError(b, c.quiet(b.Context()))
					after.add(c.nodes...)
					sum.gossip += after.gossip - before.gossip
					sum.packets += after.packets - before.packets
					sum.reliable += after.reliable - before.reliable
					require.NoError(b, c.check())
					require.NoError(b, c.close())
				}
				all := float64(n * b.N)
				b.ReportMetric(float64(sum.sent())/all, "B/name")
				b.ReportMetric(float64(sum.sent())/all/float64(s.nodes-1), "B/name/receiver")
				b.ReportMetric(float64(sum.gossip)/all, "gossip-B/name")
				b.ReportMetric(float64(sum.packets)/all, "packets-B/name")
				b.ReportMetric(float64(sum.reliable)/all, "connections-B/name")
			})
		}
	}
}

// Every benchmark works, in a small way.
func TestBenchmarks(t *testing.T) {
	benchtime := flag.Lookup("test.benchtime").Value.String()
	n, rate, wait, s, u, c := *names, *churned, settle, spreads, bursts, clusters
	defer func() {
		*names, *churned, settle, spreads, bursts, clusters = n, rate, wait, s, u, c
		require.NoError(t, flag.Set("test.benchtime", benchtime))
	}()
	require.NoError(t, flag.Set("test.benchtime", "1x"))
	*names, *churned, settle, spreads, bursts, clusters = 301, 500, 0, []int{32}, []int{4, 300},
		[]int{3, 4}
	for name, bench := range map[string]func(*testing.B){
		"visible": BenchmarkVisible, "one at a time": BenchmarkOneAtATime, "spread": BenchmarkSpread,
		"heap": BenchmarkHeap, "join": BenchmarkJoin, "join under churn": BenchmarkJoinUnderChurn,
		"idle": BenchmarkIdle, "bytes": BenchmarkBytes,
	} {
		require.Positive(t, testing.Benchmark(bench).N, name)
	}
}

// What is waited for in vain ends with an error that says what it was, and leaves nothing behind.
func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	c, err := setup{nodes: 1}.open(ctx)
	require.NoError(t, err)
	err = c.visible(ctx, 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err,
		"waiting until every node shows 1 names (node 0: 1 members, 0 names)")
	require.NoError(t, c.close())
}
