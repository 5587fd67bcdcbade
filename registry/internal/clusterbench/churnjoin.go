package clusterbench

import (
	"context"
	"errors"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/usage"
	"github.com/snowfence/snowfence/registry"
)

// joiningUnderChurn has a node join a full cluster while names are released and others registered,
// so many a second.
func joiningUnderChurn(ctx context.Context, names, perSec int) (figures []figure, err error) {
	f, err := fill(ctx, names)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	churning, end := context.WithCancel(ctx)
	t := turnover{node: f.nodes[0], first: names, rate: perSec, done: make(chan struct{})}
	go t.run(churning)
	stop := func() {
		end()
		<-t.done
	}
	defer stop()
	if err := pace.Sleep(ctx, time.Second); err != nil { // until tombstones run out
		return nil, err
	}
	var before, after sums
	before.add(f.nodes)
	traffic := f.meter.Traffic()
	start, cpu := time.Now(), usage.CPU()
	r, err := f.add(ctx)
	if err != nil {
		return nil, err
	}
	took := time.Since(start)
	cpu = usage.CPU() - cpu
	moved := f.meter.Traffic()
	after.add(f.nodes)
	stop()
	if t.err != nil {
		return nil, t.err
	}
	if err := f.visible(ctx, names); err != nil {
		return nil, err
	}
	whole := time.Since(start)
	var own sums
	own.add([]*registry.Registry{r})
	bytesMoved := float64(moved.PacketBytes + moved.StreamBytes -
		traffic.PacketBytes - traffic.StreamBytes)
	return []figure{
		{"join until the node has caught up", seconds, took.Seconds()},
		{"join until it has all, after the churn has ended", seconds, whole.Seconds()},
		{"names released and registered, per second", perSecond, rate(t.turned, t.took)},
		{"records sent in chunks", number, float64(after.served - before.served)},
		{"all traffic of the cluster meanwhile", bytes, bytesMoved},
		{"processor time, of all nodes", seconds, cpu.Seconds()},
		{"times that tombstones did not reach back far enough", number, float64(own.resyncs)},
		{"checks sent", number, float64(own.checks)},
		{"requests for chunks", number, float64(own.pulls)},
		{"of these timed out", number, float64(own.timeouts)},
	}, nil
}

// A turnover releases the registrations of a node, and registers a new name for each.
type turnover struct {
	node        *registry.Registry
	first, rate int
	done        chan struct{} // closed when the following may be read
	turned      int
	took        time.Duration
	err         error
}

func (t *turnover) run(ctx context.Context) {
	defer close(t.done)
	begin := time.Now()
	defer func() { t.took = time.Since(begin) }()
	for _, g := range t.node.Registrations() {
		due := begin.Add(time.Duration(t.turned) * time.Second / time.Duration(t.rate))
		if wait := time.Until(due); wait > time.Millisecond {
			if pace.Sleep(ctx, wait) != nil {
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		if t.err = g.Release(); t.err != nil {
			return
		}
		if _, t.err = t.node.Register(context.Background(), nameOf(t.first+t.turned),
			metaOf()); t.err != nil {
			return
		}
		t.turned++
	}
}
