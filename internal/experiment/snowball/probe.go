package snowball

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// maxProbeTime is how long a probe waits for a key: much longer than a healthy
// origin takes, much shorter than a user has patience.
const maxProbeTime = time.Second

// probe fetches each failing key once after the run, and returns how many still
// do not work. The fault is over by then. It returns -1 if ctx has ended.
func (v *service) probe(ctx context.Context) int {
	limit := semaphore.NewWeighted(int64(v.scenario.Events.Workers))
	var dead atomic.Int64
	var probes sync.WaitGroup
	for _, key := range v.failing {
		if limit.Acquire(ctx, 1) != nil {
			break
		}
		probes.Go(func() {
			defer limit.Release(1)
			own, cancel := context.WithTimeout(ctx, maxProbeTime)
			defer cancel()
			if !v.works(own, key) {
				dead.Add(1)
			}
		})
	}
	probes.Wait()
	if stopped(ctx) {
		return -1
	}
	return int(dead.Load())
}
