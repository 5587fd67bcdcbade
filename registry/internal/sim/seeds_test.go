package sim

import (
	"flag"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

var (
	oneSeed = flag.Uint64("sim.seed", 0, "run this seed alone, and print all that happens")
	seeds   = flag.Uint64("sim.seeds", 0,
		"run so many seeds, whatever time that takes; 0: as many as -sim.budget allows")
	first  = flag.Uint64("sim.first", 1, "the first seed")
	budget = flag.Duration("sim.budget", 20*time.Second,
		"how long to run seeds; a tenth of it with -short")
)

// TestSeeds runs worlds drawn from seeds, on all processors, and fails with a minimised one if an
// invariant does not hold.
func TestSeeds(t *testing.T) {
	if *oneSeed != 0 {
		replay(t, *oneSeed)
		return
	}
	most, until := *seeds, time.Time{}
	if most == 0 {
		d := *budget
		if testing.Short() {
			d /= 10
		}
		most, until = 1<<63, time.Now().Add(d)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // worlds are small and short-lived
	start := time.Now()
	var sum tally
	done, failed := sum.run(*first, most, until, func(done uint64) {
		took := time.Since(start)
		t.Logf("%d seeds, %.0f seeds/s, %v", done, float64(done)/took.Seconds(), took.Round(time.Second))
	})
	took := time.Since(start)
	t.Logf("%d seeds from %d in %v: %.0f seeds/s on %d processors", done, *first,
		took.Round(time.Millisecond), float64(done)/took.Seconds(), runtime.GOMAXPROCS(0))
	sum.log(t, done)
	if failed != 0 {
		s := NewSetup(failed)
		steps := Steps(s)
		f := Minimise(s, steps, Run(s, steps))
		t.Logf("found: invariant=%s seed=%d seeds=%d steps=%d of=%d", f.Violation.Invariant, failed, done,
			len(f.Steps), f.Drawn)
		t.Fatalf("seed %d: %v\nreplay: go test ./registry/internal/sim -run 'TestSeeds$' -v -sim.seed %d",
			failed, f, failed)
	}
}

func replay(t *testing.T, seed uint64) {
	s := NewSetup(seed)
	steps := Steps(s)
	if v := Run(s, steps); v != nil {
		t.Fatalf("seed %d: %v", seed, Minimise(s, steps, v))
	}
	tr := &trace{most: 100_000}
	_, w := run(s, steps, tr)
	t.Logf("%s\n%s", &s, tr)
	t.Logf("seed %d holds: %v of simulated time, messages by kind %v", seed, w.now, w.sent[1:])
}

// tally adds up the events of worlds, so that a run shows what it has tested.
type tally struct {
	mu        sync.Mutex // guards the fields below
	simulated time.Duration
	sent      [replica.Kinds]uint64
	stats     replica.Stats
	wronged   uint64 // worlds with correct clocks in which one was considered ahead
}

// run runs seeds until one fails. It returns the number of seeds run, and the lowest that failed.
func (a *tally) run(
	first, most uint64, until time.Time, progress func(uint64),
) (done, failed uint64) {
	var next, finished, bad atomic.Uint64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for bad.Load() == 0 && (until.IsZero() || time.Now().Before(until)) {
				i := next.Add(1) - 1
				if i >= most {
					return
				}
				s := NewSetup(first + i)
				v, w := run(s, Steps(s), nil)
				finished.Add(1)
				if v != nil {
					for {
						b := bad.Load()
						if b != 0 && b < s.Seed || bad.CompareAndSwap(b, s.Seed) {
							return
						}
					}
				}
				a.add(w)
			}
		})
	}
	stop := make(chan struct{})
	var reporter sync.WaitGroup
	reporter.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Second):
				progress(finished.Load())
			}
		}
	})
	wg.Wait()
	close(stop)
	reporter.Wait()
	return finished.Load(), bad.Load()
}

func (a *tally) add(w *World) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.simulated += w.now
	if w.setup.honest() && !w.stepped && slices.ContainsFunc(w.nodes,
		func(n *node) bool { return n.clock.Stats().Clamps > 0 }) {
		a.wronged++
	}
	for k, n := range w.sent {
		a.sent[k] += uint64(n)
	}
	for _, n := range w.nodes {
		for i := range n.cores {
			s := n.cores[i].Stats()
			a.stats.Ignored += s.Ignored
			a.stats.Gaps += s.Gaps
			a.stats.Pulls += s.Pulls
			a.stats.PullTimeouts += s.PullTimeouts
			a.stats.Resyncs += s.Resyncs
			a.stats.Checks += s.Checks
			a.stats.Conflicts += s.Conflicts
			a.stats.Lost += s.Lost
			a.stats.Refutations += s.Refutations
			a.stats.DroppedBuffered += s.DroppedBuffered
		}
	}
}

func (a *tally) log(t *testing.T, seeds uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := float64(max(seeds, 1))
	each := func(v uint64) float64 { return float64(v) / n }
	t.Logf("per seed: %.1f s simulated; sent: %.0f updates, %.0f summaries, %.0f vectors, %.0f "+
		"pulls, %.0f chunks, %.1f checks",
		a.simulated.Seconds()/n, each(a.sent[1]), each(a.sent[2]), each(a.sent[3]), each(a.sent[4]),
		each(a.sent[5]), each(a.sent[6]))
	t.Logf("worlds in which all clocks were right, but one was held to be ahead because messages "+
		"came late: %d", a.wronged)
	s := &a.stats
	t.Logf("per seed: %.2f conflicts seen, %.2f claims lost, %.2f gaps, %.2f time-outs, %.2f "+
		"resyncs, %.2f checks, %.3f refutations, %.2f updates dropped from buffers, %.2f messages "+
		"ignored",
		each(s.Conflicts), each(s.Lost), each(s.Gaps), each(s.PullTimeouts), each(s.Resyncs),
		each(s.Checks), each(s.Refutations), each(s.DroppedBuffered), each(s.Ignored))
}

// TestSameSeedSameWorld runs some seeds twice. They must have the same results, or failures could
// not be replayed.
func TestSameSeedSameWorld(t *testing.T) {
	for seed := uint64(1); seed <= 15; seed++ {
		s := NewSetup(seed)
		var told [2]string
		for i := range told {
			tr := &trace{most: 1 << 20}
			v, _ := run(s, Steps(s), tr)
			told[i] = tr.String()
			if v != nil {
				told[i] += v.String()
			}
		}
		if told[0] != told[1] {
			t.Fatalf("seed %d went two ways", seed)
		}
	}
}
