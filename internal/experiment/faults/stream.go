package faults

import (
	"context"
	"sync"

	"github.com/snowfence/snowfence/internal/verdict"
)

// mostWaves is how many waves the callers of a stream come in, if there are enough of them.
const mostWaves = 5

func waves(callers int) int { return min(mostWaves, callers) }

// wantOfStream expects that only the first wave waits in vain: that a load hangs is known once a
// deadline has passed.
func wantOfStream(callers int) map[verdict.Kind]int {
	first := callers / waves(callers)
	return map[verdict.Kind]int{verdict.Deadline: first, verdict.Value: callers - first}
}

// stream lets callers come in waves, each when the one before was told. It reports whether the
// callers of each wave came together. One more caller, who is not counted, waits from before the
// first wave until after the last: without it a load that hangs would be given up with the last
// caller of a wave, and in a service where callers keep coming there is always one who waits.
func (t *trial) stream(ctx context.Context, answers []told) bool {
	patient, leave := context.WithCancel(ctx)
	hangs := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer t.answered.Add(1) // early where it gets a stale value
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
