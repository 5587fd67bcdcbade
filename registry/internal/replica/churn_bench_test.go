package replica

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

// The parameters are those of a cluster with a million names in 16 partitions, in which 20,000
// names a second are released and as many registered, over links of 50 ms.
const (
	churnNames   = 62_500
	churnRate    = 1_250
	churnLatency = 50 * time.Millisecond
	churnBatch   = 5 * time.Millisecond
)

// A post is a message under way.
type post struct {
	at time.Duration
	m  Message
}

// BenchmarkJoinUnderChurn makes a node join one partition while names change. The times are those
// of a simulated clock, and consist of round trips.
func BenchmarkJoinUnderChurn(b *testing.B) {
	var took time.Duration
	var records, bytes, checked uint64
	for b.Loop() {
		b.StopTimer()
		server, at := bench()
		names := make([]string, churnNames*2)
		for i := range names {
			names[i] = fmt.Sprintf("service/instance-%06d", i)
		}
		for _, n := range names[:churnNames] {
			server.Register(at, n, nil)
		}
		server.Flush(1200, 0)
		server.Take()
		next := 0
		turn := func() { // the changes of a batch
			for range churnRate * churnBatch / time.Second {
				server.Unregister(at, names[next], WhyReleased)
				server.Register(at, names[next+churnNames], nil)
				next++
			}
		}
		for range 1000 { // tombstones run out
			turn()
			server.Flush(1200, 0)
			server.Take()
		}
		joiner := New(Config{Self: "b", Incarnation: 1, Clock: server.cfg.Clock})
		b.StartTimer()

		var toServer, toJoiner []post
		begin := at.Mono
		joiner.NodeUp(at, "a", 1)
		joiner.Receive(at, "a", &Vector{Entries: []Entry{{Origin: "a", Incarnation: 1,
			Seq: server.own.seq, Visible: true}}})
		for !joiner.CaughtUp() || !joiner.tables["a"].exact() {
			at.Mono += churnBatch
			at.Wall += int64(churnBatch)
			turn()
			for _, u := range server.Flush(64<<10, 0) {
				toJoiner = append(toJoiner, post{at.Mono + churnLatency, u})
			}
			deliver := func(queue []post, to *Partition, from string) []post {
				for len(queue) > 0 && queue[0].at <= at.Mono {
					to.Receive(at, from, queue[0].m)
					queue = slices.Delete(queue, 0, 1)
				}
				return queue
			}
			toServer = deliver(toServer, server, "b")
			for _, e := range server.Take().Send {
				toJoiner = append(toJoiner, post{at.Mono + churnLatency, e.Message})
				switch m := e.Message.(type) {
				case *Chunk:
					for _, r := range m.Records {
						bytes += uint64(sizeOf(r))
					}
				case *Standing:
					for _, s := range m.Spans {
						bytes += 2 * uint64(len(s.Seqs))
					}
				}
			}
			toJoiner = deliver(toJoiner, joiner, "a")
			joiner.Tick(at)
			for _, e := range joiner.Take().Send {
				toServer = append(toServer, post{at.Mono + churnLatency, e.Message})
				if m, ok := e.Message.(*Check); ok {
					bytes += 10 * uint64(len(m.Blocks))
				}
			}
			if at.Mono > begin+10*time.Minute {
				b.Fatalf("not caught up: %+v", joiner.Stats())
			}
		}
		took += at.Mono - begin
		records += server.Stats().Served
		checked += joiner.Stats().Checks
		runtime.KeepAlive(joiner)
	}
	n := float64(b.N)
	b.ReportMetric(took.Seconds()/n, "simulated-s")
	b.ReportMetric(float64(records)/n, "records")
	b.ReportMetric(float64(bytes)/n, "B")
	b.ReportMetric(float64(checked)/n, "checks")
}
