package faults

import (
	"context"
	"sync"

	"github.com/snowfence/snowfence/internal/verdict"
)

// mostWaves is the number of waves of a stream, if there are enough callers.
const mostWaves = 5

func waves(callers int) int { return min(mostWaves, callers) }

// wantOfStream expects that only the first wave waits in vain: a flight is known to be late once a
// deadline has passed.
func wantOfStream(callers int) map[verdict.Kind]int {
	first := callers / waves(callers)
	return map[verdict.Kind]int{verdict.Deadline: first, verdict.Value: callers - first}
}

// stream runs the callers in waves, each once the wave before has its answers. It reports whether
// the callers of each wave came together. One more caller, which is not counted, waits from before
// the first wave until after the last: without it, the last caller of a wave would abandon the load
// that hangs. In a service where callers keep coming, one is always waiting.
func (t *trial) stream(ctx context.Context, answers []answer) bool {
	patient, leave := context.WithCancel(ctx)
	hangs := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer t.answered.Add(1) // before the end if it gets a stale value
		_, _ = t.cache.Fetch(patient, key, func(context.Context, string) (string, error) {
			t.running.Add(1)
			defer t.running.Done()
			t.loads.Add(1)
			close(hangs)
			<-t.release
			return "", errInjected
		})
	})
	defer waiting.Wait()
	defer leave()
	select {
	case <-hangs:
	case <-ctx.Done():
		return false
	}
	together := true
	n := waves(len(answers))
	for i := 0; i < n && together; i++ {
		from, to := i*len(answers)/n, (i+1)*len(answers)/n
		wave := crowd{trial: t, fetch: t.good}
		for j := from; j < to; j++ {
			wave.call(ctx, &answers[j], func() { t.answered.Add(1) })
		}
		together = t.waiting(ctx, 1+to)
		wave.wait(together)
	}
	return together
}
