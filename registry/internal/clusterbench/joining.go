package clusterbench

import (
	"context"
	"errors"
	"time"

	"github.com/snowfence/snowfence/internal/usage"
	"github.com/snowfence/snowfence/registry"
)

// A full cluster is one that holds many names, into which nodes join one after the other.
type full struct {
	*cluster
	names int
}

// joining has some nodes join a full cluster, one after the other. Each gives figures of the same
// kinds.
func joining(ctx context.Context, names, joins int) (figures []figure, err error) {
	f, err := fill(ctx, names)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	for range joins {
		more, err := f.join(ctx, func() {})
		if err != nil {
			return nil, err
		}
		figures = append(figures, more...)
	}
	return figures, nil
}

// fill makes a cluster of two nodes that hold half of the names each. They meet when they have
// them, which takes less time than to tell each other name by name.
func fill(ctx context.Context, names int) (f *full, err error) {
	c, err := setup{nodes: 1, metered: true}.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f, err = nil, errors.Join(err, c.close())
		}
	}()
	second, err := c.addTo(ctx, nil)
	if err != nil {
		return nil, err
	}
	half := names / 2
	for i, r := range c.nodes {
		if _, err := register(r, i*half, half+i*(names%2), 2); err != nil {
			return nil, err
		}
	}
	if _, err := second.Join(ctx, c.nodes[0].Addr()); err != nil {
		return nil, err
	}
	if err := c.assemble(ctx); err != nil {
		return nil, err
	}
	if err := c.visible(ctx, names); err != nil {
		return nil, err
	}
	return &full{c, names}, c.quiet(ctx)
}

// join has a node join, calls joined, and has it leave again. The time is that until the node has
// all, which is when Open returns.
func (f *full) join(ctx context.Context, joined func()) ([]figure, error) {
	heap := liveHeap()
	before := f.meter.Traffic()
	start, cpu := time.Now(), usage.CPU()
	r, err := f.add(ctx)
	if err != nil {
		return nil, err
	}
	took := time.Since(start)
	cpu = usage.CPU() - cpu
	joined()
	if err := f.visible(ctx, f.names); err != nil {
		return nil, err
	}
	after := f.meter.Traffic()
	moved := float64(after.PacketBytes + after.StreamBytes - before.PacketBytes - before.StreamBytes)
	figures := []figure{
		{"join until the node has all", seconds, took.Seconds()},
		{"join, names per second", perSecond, rate(f.names, took)},
		{"join, processor time per name, of all nodes", seconds, cpu.Seconds() / float64(f.names)},
		{"join, all traffic of the cluster meanwhile", bytes, moved},
		{"join, bytes per name", bytes, moved / float64(f.names)},
	}
	if err := f.quiet(ctx); err != nil {
		return nil, err
	}
	if err := f.assemble(ctx); err != nil {
		return nil, err
	}
	figures = append(figures, heapFigures("on the node that joined", f.names, liveHeap()-heap,
		r.Stats().HeapBytes)...)
	if err := f.check(); err != nil {
		return nil, err
	}
	var sum sums
	sum.add([]*registry.Registry{r})
	figures = append(figures, figure{"join, requests for chunks", number, float64(sum.pulls)},
		figure{"join, of these timed out", number, float64(sum.timeouts)})
	return figures, f.dismiss(ctx)
}
