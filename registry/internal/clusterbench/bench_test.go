package clusterbench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// openFor returns a cluster that is closed when the benchmark ends.
func openFor(b *testing.B, s setup) *cluster {
	b.Helper()
	c, err := s.open(b.Context())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, c.close()) })
	return c
}

// BenchmarkRegisterVisible registers names on the first of three nodes, without a pause, until the
// others show them. An operation is a name, so the time is that of the slowest step from Register
// to Lookup on another node.
func BenchmarkRegisterVisible(b *testing.B) {
	c := openFor(b, setup{nodes: 3})
	b.ReportAllocs()
	b.ResetTimer()
	_, err := register(c.nodes[0], 0, b.N, 4)
	require.NoError(b, err)
	registered := b.Elapsed()
	require.NoError(b, c.visible(b.Context(), b.N))
	b.ReportMetric(float64(registered.Nanoseconds())/float64(b.N), "register-ns/op")
	require.NoError(b, c.check())
}

// BenchmarkReleaseVisible does the same for releases.
func BenchmarkReleaseVisible(b *testing.B) {
	c := openFor(b, setup{nodes: 3})
	all, err := register(c.nodes[0], 0, b.N, 4)
	require.NoError(b, err)
	require.NoError(b, c.visible(b.Context(), b.N))
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, release(all, 4))
	require.NoError(b, c.visible(b.Context(), 0))
	require.NoError(b, c.check())
}

// BenchmarkOneAtATime registers and releases one name; each change waits until two other nodes have
// seen the previous one.
func BenchmarkOneAtATime(b *testing.B) {
	c := openFor(b, setup{nodes: 3})
	s := newStepper(b.Context(), c)
	defer s.close()
	var registered, released latencies
	for b.Loop() {
		require.NoError(b, s.step(b.Context(), &registered, &released))
	}
	b.ReportMetric(registered.quantile(50).Seconds()*1e3, "register-p50-ms")
	b.ReportMetric(registered.quantile(99).Seconds()*1e3, "register-p99-ms")
	b.ReportMetric(released.quantile(50).Seconds()*1e3, "release-p50-ms")
}

// BenchmarkSpread spreads 10,000 and 100,000 names of one node to two others. An operation is all
// of them.
func BenchmarkSpread(b *testing.B) {
	for _, n := range DefaultPlan.Spread {
		b.Run("names="+strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				c, err := setup{nodes: 3}.open(b.Context())
				require.NoError(b, err)
				b.StartTimer()
				_, err = register(c.nodes[0], 0, n, 4)
				require.NoError(b, err)
				require.NoError(b, c.visible(b.Context(), n))
				b.StopTimer()
				require.NoError(b, c.check())
				require.NoError(b, c.close())
				b.StartTimer()
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "names/s")
		})
	}
}

// BenchmarkJoin makes a node join a cluster with 100,000 names, or the number in
// -clusterbench.names.
func BenchmarkJoin(b *testing.B) {
	b.Run("names="+strconv.Itoa(*names), func(b *testing.B) {
		f, err := fill(b.Context(), *names)
		require.NoError(b, err)
		defer func() { require.NoError(b, f.close()) }()
		sum := make(map[string]float64)
		joins := 0
		for b.Loop() {
			figures, err := f.join(b.Context(), b.StopTimer)
			require.NoError(b, err)
			for _, v := range figures {
				sum[v.what] += v.value
			}
			joins++
			b.StartTimer()
		}
		for _, m := range []struct{ what, unit string }{
			{"join, bytes per name", "wire-B/name"},
			{"heap per name on the node that joined, measured", "heap-B/name"},
			{"heap per name on the node that joined, by Stats", "stats-B/name"},
		} {
			b.ReportMetric(sum[m.what]/float64(joins), m.unit)
		}
	})
}

// BenchmarkJoinUnderChurn makes a node join while names are released and registered; see
// -clusterbench.names and -clusterbench.churn.
func BenchmarkJoinUnderChurn(b *testing.B) {
	b.Run("names="+strconv.Itoa(*names)+"/churn="+strconv.Itoa(*churned), func(b *testing.B) {
		for b.Loop() {
			figures, err := joiningUnderChurn(b.Context(), *names, *churned)
			require.NoError(b, err)
			var text strings.Builder // one, as a benchmark's log holds ten
			for _, f := range figures {
				fmt.Fprintf(&text, "\n%-55s %v", f.what, f.value)
				if f.what == "join until the node has caught up" {
					b.ReportMetric(f.value, "join-s")
				}
			}
			b.Log(text.String())
		}
	})
}

// BenchmarkChurn compares one partition with sixteen: 48 goroutines on three nodes register and
// release names. An operation is a registration, and a release of another name.
func BenchmarkChurn(b *testing.B) {
	for _, partitions := range []int{1, 16} {
		b.Run("partitions="+strconv.Itoa(partitions), func(b *testing.B) {
			load := churn{nodes: 3, partitions: partitions, workers: churnWorkers, keep: churnKeep}
			load.ops = (b.N + load.nodes*load.workers - 1) / (load.nodes * load.workers)
			ctx, cancel := context.WithTimeout(b.Context(), patience)
			defer cancel()
			b.ResetTimer()
			figures, err := load.run(ctx)
			b.StopTimer()
			require.NoError(b, err)
			for _, f := range figures {
				switch f.what {
				case "registration, 99th percentile":
					b.ReportMetric(f.value*1e6, "register-p99-µs")
				case "from the last change until all nodes agree":
					b.ReportMetric(f.value*1e3, "converge-ms")
				case "deepest queue of a partition (names)":
					b.ReportMetric(f.value, "queue-high")
				}
			}
		})
	}
}

// BenchmarkIdle measures the traffic of 16 idle nodes. An operation is 100 ms.
func BenchmarkIdle(b *testing.B) {
	c := openFor(b, setup{nodes: DefaultPlan.BigCluster, metered: true})
	require.NoError(b, c.quiet(b.Context()))
	before := c.meter.Traffic()
	for b.Loop() {
		time.Sleep(100 * time.Millisecond)
	}
	after := c.meter.Traffic()
	moved := float64(after.PacketBytes + after.StreamBytes - before.PacketBytes - before.StreamBytes)
	b.ReportMetric(moved/b.Elapsed().Seconds()/float64(len(c.nodes)), "B/node/s")
	b.ReportMetric(float64(after.Packets-before.Packets)/b.Elapsed().Seconds()/float64(len(c.nodes)),
		"packets/node/s")
}

// BenchmarkBytes counts the bytes that all nodes send for each name, in a burst that is sent in
// packets and in one that is sent over connections.
func BenchmarkBytes(b *testing.B) {
	for _, nodes := range []int{3, DefaultPlan.BigCluster} {
		for _, n := range []int{DefaultPlan.Few, DefaultPlan.Many} {
			b.Run("nodes="+strconv.Itoa(nodes)+"/names="+strconv.Itoa(n), func(b *testing.B) {
				sum, runs := 0.0, 0
				for b.Loop() {
					figures, err := bytesPerName(b.Context(), setup{nodes: nodes}, DefaultPlan.Settle, []int{n})
					require.NoError(b, err)
					sum += figures[0].value
					runs++
				}
				b.ReportMetric(sum/float64(runs), "wire-B/name")
			})
		}
	}
}
