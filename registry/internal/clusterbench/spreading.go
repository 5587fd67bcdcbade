package clusterbench

import (
	"context"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/usage"
	"github.com/snowfence/snowfence/registry"
)

// spreading registers names on one node as fast as it takes them, and waits until all nodes show
// them.
func spreading(ctx context.Context, nodes, names int) (figures []figure, err error) {
	err = setup{nodes: nodes}.with(ctx, func(c *cluster) error {
		what := fmt.Sprintf("%d names on one node", names)
		start, cpu := time.Now(), usage.CPU()
		if _, err := register(c.nodes[0], 0, names, 4); err != nil {
			return err
		}
		registered := time.Since(start)
		if err := c.visible(ctx, names); err != nil {
			return err
		}
		took := time.Since(start)
		cpu = usage.CPU() - cpu
		var sum sums
		sum.add(c.nodes)
		figures = []figure{
			{what + ": the last is registered", seconds, registered.Seconds()},
			{what + ": all nodes show all", seconds, took.Seconds()},
			{what + ": per second", perSecond, rate(names, took)},
			{what + ": processor time per name, of all nodes", seconds, cpu.Seconds() / float64(names)},
			{what + ": deepest queue of a partition", number, float64(sum.queueHigh)},
			{what + ": requests for missed updates", number, float64(sum.pulls)},
		}
		return nil
	})
	return figures, err
}

// sums are statistics of some nodes together.
type sums struct {
	queueHigh, inboxHigh int // the deepest of all partitions of all nodes
	dropped              uint64
	pulls, timeouts      uint64
	served, resyncs      uint64
	checks               uint64
	network              networkBytes
}

// networkBytes are the bytes that the registry sent, by their path. What gossip repeats is counted
// each time.
type networkBytes struct{ gossip, reliable, packets uint64 }

func (s *sums) add(nodes []*registry.Registry) {
	for _, r := range nodes {
		stats := r.Stats()
		s.network.gossip += stats.Network.Gossip.BytesOut
		s.network.reliable += stats.Network.Reliable.BytesOut
		s.network.packets += stats.Network.Packets.BytesOut
		for i := range stats.Partitions {
			p := &stats.Partitions[i]
			s.queueHigh = max(s.queueHigh, p.QueueHigh)
			s.inboxHigh = max(s.inboxHigh, p.InboxHigh)
			s.dropped += p.InboxDropped
			s.pulls += p.Pulls
			s.timeouts += p.PullTimeouts
			s.served += p.Served
			s.resyncs += p.Resyncs
			s.checks += p.Sent.Checks
		}
	}
}
