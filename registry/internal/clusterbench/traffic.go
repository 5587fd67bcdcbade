package clusterbench

import (
	"context"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/usage"
)

// bytesPerName registers names on one node, as fast as it takes them, and counts what that costs
// until all nodes show them and gossip repeats them no more. Before that it lets the nodes settle:
// they compare notes when they have met. Few names go in packets, many over connections.
func bytesPerName(
	ctx context.Context, s setup, settle time.Duration, bursts []int,
) (figures []figure, err error) {
	s.metered = true
	for _, names := range bursts {
		err := s.with(ctx, func(c *cluster) error {
			if err := c.quiet(ctx); err != nil {
				return err
			}
			time.Sleep(settle)
			var before, after sums
			before.add(c.nodes)
			if _, err := register(c.nodes[0], 0, names, 4); err != nil {
				return err
			}
			if err := c.visible(ctx, names); err != nil {
				return err
			}
			if err := c.quiet(ctx); err != nil {
				return err
			}
			after.add(c.nodes)
			what := fmt.Sprintf("%d names: bytes per name", names)
			gossip := float64(after.network.gossip-before.network.gossip) / float64(names)
			packets := float64(after.network.packets-before.network.packets) / float64(names)
			reliable := float64(after.network.reliable-before.network.reliable) / float64(names)
			all := gossip + packets + reliable
			figures = append(figures,
				figure{what + ", sent by all nodes", bytes, all},
				figure{what + ", of these by gossip", bytes, gossip},
				figure{what + ", of these in packets of their own", bytes, packets},
				figure{what + ", of these over connections", bytes, reliable},
				figure{what + ", for each node that hears of it", bytes, all / float64(s.nodes-1)})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// idle counts what nodes say, and what they compute, while nothing happens: the membership's
// probes, and ours.
func idle(
	ctx context.Context, s setup, names int, settle, d time.Duration,
) (figures []figure, err error) {
	s.metered = true
	err = s.with(ctx, func(c *cluster) error {
		if _, err := register(c.nodes[0], 0, names, 1); err != nil {
			return err
		}
		if err := c.visible(ctx, names); err != nil {
			return err
		}
		if err := c.quiet(ctx); err != nil {
			return err
		}
		if err := pace.Sleep(ctx, settle); err != nil {
			return err
		}
		var ours0, ours1 sums
		ours0.add(c.nodes)
		all0, cpu, start := c.meter.Traffic(), usage.CPU(), time.Now()
		if err := pace.Sleep(ctx, d); err != nil {
			return err
		}
		took := time.Since(start).Seconds()
		cpu = usage.CPU() - cpu
		nodeSeconds := took * float64(s.nodes)
		all1 := c.meter.Traffic()
		ours1.add(c.nodes)
		a, b := ours0.network, ours1.network
		ours := float64(b.packets-a.packets+b.gossip-a.gossip+b.reliable-a.reliable) / nodeSeconds
		all := float64(all1.PacketBytes-all0.PacketBytes+all1.StreamBytes-all0.StreamBytes) / nodeSeconds
		figures = []figure{
			{"bytes per node and second", bytes, all},
			{"of these the registry's", bytes, ours},
			{"of these the membership's", bytes, all - ours},
			{"packets per node and second", number, float64(all1.Packets-all0.Packets) / nodeSeconds},
			{"connections per node and second", number, float64(all1.Streams-all0.Streams) / nodeSeconds},
			{"processor time per second, of all nodes", seconds, cpu.Seconds() / took},
		}
		return nil
	})
	return figures, err
}
