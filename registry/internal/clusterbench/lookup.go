package clusterbench

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// lookups measures Lookup by one goroutine on each of some cores, for a time, among names that are
// there and among names that are not.
func lookups(ctx context.Context, cores, names int, d time.Duration) (figures []figure, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	err = setup{nodes: 1}.with(ctx, func(c *cluster) error {
		if _, err := register(c.nodes[0], 0, names, 1); err != nil {
			return err
		}
		for _, there := range []bool{true, false} {
			what, first := "of names that are held", 0
			if !there {
				what, first = "of names that are not", names
			}
			n, allocs, err := lookUp(c.nodes[0], cores, first, names, there, d)
			if err != nil {
				return err
			}
			figures = append(figures, figure{"lookups " + what, perSecond, rate(n, d)},
				figure{"allocations per lookup " + what, number, allocs})
		}
		return nil
	})
	return figures, err
}

func lookUp(
	r *registry.Registry, cores, first, names int, want bool, d time.Duration,
) (n int, allocs float64, err error) {
	list := make([]string, names)
	for i, j := range rand.Perm(names) {
		list[i] = nameOf(first + j)
	}
	var stop, wrong atomic.Bool
	var total atomic.Int64
	var wg sync.WaitGroup
	before := mallocs()
	for g := range cores {
		wg.Go(func() {
			k := 0
			// once at least, however late it is scheduled
			for i := g * names / cores; k == 0 || !stop.Load(); k++ {
				if _, ok := r.Lookup(list[i]); ok != want {
					wrong.Store(true)
				}
				i = (i + 1) % names
			}
			total.Add(int64(k))
		})
	}
	time.Sleep(d)
	stop.Store(true)
	wg.Wait()
	n = int(total.Load())
	if wrong.Load() {
		return n, 0, errors.New("clusterbench: a lookup gave the wrong answer")
	}
	allocs = float64(mallocs()-before) / float64(max(n, 1))
	if allocs < 0.001 {
		allocs = 0 // membership goes on in the background, and allocates now and then
	}
	return n, allocs, nil
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
