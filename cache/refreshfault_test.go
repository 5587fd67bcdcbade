package cache_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// An answer holds the result of a caller of a cache whose origin has an outage.
type answer struct {
	rank int // 2: a fresh value, 1: a stale one, 0: an error
	took time.Duration
}

// An originOutage is a period; loads that begin in it end with a fault.
type originOutage struct {
	fault    string
	takes    time.Duration
	from, to time.Duration
}

func (o originOutage) load(begin time.Time) func(context.Context, string) (int, error) {
	return func(ctx context.Context, _ string) (int, error) {
		if now := time.Since(begin); now < o.from || now >= o.to {
			return 2, nil
		}
		select {
		case <-time.After(o.takes):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		switch o.fault {
		case "panic":
			panic("fault")
		case "goexit":
			runtime.Goexit()
		}
		return 0, errLoad
	}
}

const (
	refreshFaultTTL  = 10 * time.Second
	refreshFaultStep = 250 * time.Millisecond
	refreshFaultEnd  = 16 * time.Second
)

// answers returns the results of callers that come one after the other, one at each step.
func (o originOutage) answers(t *testing.T, opts cache.Options[string, int]) []answer {
	t.Helper()
	c := newCache(t, opts)
	begin := time.Now()
	load := o.load(begin)
	c.Set("k", 1)
	answers := make([]answer, refreshFaultEnd/refreshFaultStep)
	var wg sync.WaitGroup
	for i := range answers {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * refreshFaultStep)))
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			r, err := c.FetchResult(ctx, "k", load)
			answers[i].took = time.Since(start)
			switch {
			case err != nil:
			case r.Stale:
				answers[i].rank = 1
			default:
				answers[i].rank = 2
			}
		})
	}
	wg.Wait()
	synctest.Wait()
	return answers
}

// A failed refresh never leads to a worse result than no refresh, whatever the fault and whenever
// it begins and ends: no caller gets an error, or a stale value, if it would get a better result
// without refreshes, and none waits longer. The exception is a caller that comes when the TTL has
// ended and finds a refresh under way: it waits for that, or for SoftTimeout at most, and loads the
// key itself if the refresh fails; and then the key backs off as after any failed load.
func TestFailedRefreshMakesNobodyWorseOff(t *testing.T) {
	step := 1100 * time.Millisecond
	if raceEnabled && testing.Short() {
		step *= 4
	}
	for _, fault := range []originOutage{
		{fault: "error"}, {fault: "panic"}, {fault: "goexit"},
		{fault: "error", takes: time.Second}, {fault: "goexit", takes: time.Second},
		{fault: "hang", takes: time.Hour},
	} {
		for _, staleFor := range []time.Duration{0, time.Minute} {
			for _, soft := range []time.Duration{0, 100 * time.Millisecond} {
				for _, backs := range []bool{false, true} {
					if soft > 0 && staleFor == 0 {
						continue
					}
					name := fmt.Sprintf("%s after %v, StaleFor %v, SoftTimeout %v, back-off %t",
						fault.fault, fault.takes, staleFor, soft, backs)
					opts := cache.Options[string, int]{
						TTL: refreshFaultTTL, StaleFor: staleFor, SoftTimeout: soft, Timeout: 2 * time.Second,
					}
					if backs {
						opts.Courier = []courier.Option{courier.WithBackoff(5*time.Second, 5*time.Second)}
					}
					t.Run(name, func(t *testing.T) {
						for from := time.Duration(0); from <= refreshFaultTTL; from += step {
							for _, lasts := range []time.Duration{time.Second, 4 * time.Second, 20 * time.Second} {
								o := fault
								o.from, o.to = from, from+lasts
								synctest.Test(t, func(t *testing.T) { o.compare(t, opts) })
							}
						}
					})
				}
			}
		}
	}
}

func (o originOutage) compare(t *testing.T, opts cache.Options[string, int]) {
	t.Helper()
	without := o.answers(t, opts)
	opts.RefreshAt = 0.5
	with := o.answers(t, opts)
	for i, w := range with {
		// The value may be newer than without refreshes, so its TTL ends later: then it
		// may do so in the outage, when the other's, which was loaded before, does not.
		at := time.Duration(i) * refreshFaultStep
		if at >= refreshFaultTTL+refreshFaultTTL/4 {
			break
		}
		least, most := without[i].rank, without[i].took
		if at >= refreshFaultTTL && o.takes > 0 { // it may find a refresh under way
			most = refreshFaultEnd
			if opts.SoftTimeout > 0 {
				least, most = min(least, 1), opts.SoftTimeout
			}
		}
		if w.rank < least || w.took > most {
			require.Failf(t, "worse off", "outage %+v: who came at %v: %+v with refreshes, %+v without",
				o, at, w, without[i])
		}
	}
}

// A hit of an entry for which a load is under way does not look up that load each time: it takes no
// lock, and allocates nothing.
func TestHitsDuringRefresh(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	synctest.Test(t, func(t *testing.T) {
		c := refreshing(t)
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		release := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = c.Refresh(t.Context(), "k", func(context.Context, string) (int, error) {
				<-release
				return 0, errLoad
			})
		}()
		synctest.Wait()
		load := mustNotLoad[string, int](t)
		require.Zero(t, testing.AllocsPerRun(1000, func() { requireHit(t, c, load) }))
		close(release)
		<-done
		time.Sleep(2 * time.Second) // it is due still
		requireFetch(t, c, 1, returns[string](2))
		synctest.Wait()
		requireFetch(t, c, 2, load)
	})
}

func requireHit(
	t *testing.T, c *cache.Cache[string, int], load func(context.Context, string) (int, error),
) {
	t.Helper()
	if v, err := c.Fetch(t.Context(), "k", load); v != 1 || err != nil {
		t.Error(v, err)
	}
}
