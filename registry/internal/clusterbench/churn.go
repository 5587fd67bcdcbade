package clusterbench

import (
	"context"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/usage"
	"github.com/snowfence/snowfence/registry"
)

// A churn is a load: on each node some goroutines register names of their own and, once they hold
// enough, release the oldest for each new one.
type churn struct {
	nodes      int
	partitions int
	workers    int // on each node
	keep       int // names that each worker holds
	ops        int // names that each worker registers
	rate       int // registrations per second of all workers together; 0: as fast as they can
}

// run measures the load. With a rate, latencies are counted from when a registration was due, so
// that one which had to wait for another shows it.
func (l churn) run(ctx context.Context) (figures []figure, err error) {
	err = setup{nodes: l.nodes, partitions: l.partitions}.with(ctx, func(c *cluster) error {
		locks, cpu := lockWait(), usage.CPU()
		start := time.Now()
		workers := l.start(c)
		for _, w := range workers {
			<-w.done
		}
		took := time.Since(start)
		locks, cpu = lockWait()-locks, usage.CPU()-cpu
		held := 0
		all := measured.Fine()
		for _, w := range workers {
			if w.err != nil {
				return w.err
			}
			held += len(w.held)
			all.Merge(w.latencies)
		}
		if err := c.visible(ctx, held); err != nil {
			return err
		}
		converged := time.Since(start) - took
		if err := c.quiet(ctx); err != nil {
			return err
		}
		var sum sums
		sum.add(c.nodes)
		n := len(workers) * l.ops
		figures = append(figures, figure{"registrations per second", perSecond, rate(n, took)})
		figures = append(figures, figuresOf(all, "registration", 50, 99, 99.9)...)
		figures = append(figures,
			figure{"from the last change until all nodes agree", seconds, converged.Seconds()},
			figure{"deepest queue of a partition (names)", number, float64(sum.queueHigh)},
			figure{"deepest inbox of a partition (messages)", number, float64(sum.inboxHigh)},
			figure{"messages dropped at a full inbox", number, float64(sum.dropped)},
			figure{"requests for missed updates", number, float64(sum.pulls)},
			figure{"waiting for locks, per registration", seconds, locks.Seconds() / float64(n)},
		)
		if cpu > 0 {
			figures = append(figures,
				figure{"processor time per registration and release, of all nodes", seconds,
					cpu.Seconds() / float64(n)},
				figure{"processors in use", number, cpu.Seconds() / took.Seconds()})
		}
		return nil
	})
	return figures, err
}

// A worker is one of the goroutines of a load.
type worker struct {
	done      chan struct{} // closed when the following may be read
	held      []*registry.Registration
	latencies *measured.Times
	err       error
}

func (l churn) start(c *cluster) []*worker {
	var workers []*worker
	var begin sync.WaitGroup
	begin.Add(1)
	defer begin.Done()
	epoch := time.Now()
	total := l.nodes * l.workers
	for i := range total {
		w := &worker{done: make(chan struct{}), latencies: measured.Fine()}
		workers = append(workers, w)
		go func() {
			defer close(w.done)
			begin.Wait()
			for k := range l.ops {
				due := time.Now()
				if l.rate > 0 {
					due = epoch.Add(time.Duration(k*total+i) * time.Second / time.Duration(l.rate))
					time.Sleep(time.Until(due))
				}
				if w.err = w.step(c.nodes[i%l.nodes], i*l.ops+k, l.keep, due); w.err != nil {
					return
				}
			}
		}()
	}
	return workers
}

func (w *worker) step(r *registry.Registry, name, keep int, due time.Time) error {
	g, err := r.Register(context.Background(), nameOf(name), metaOf())
	if err != nil {
		return err
	}
	w.latencies.Add(time.Since(due))
	w.held = append(w.held, g)
	if len(w.held) <= keep {
		return nil
	}
	oldest := w.held[0]
	w.held = w.held[1:]
	return oldest.Release()
}

// lockWait returns how long goroutines of this process have waited for locks, all together.
func lockWait() time.Duration {
	sample := []metrics.Sample{{Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(sample)
	return time.Duration(sample[0].Value.Float64() * float64(time.Second))
}
