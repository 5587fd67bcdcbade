package run

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab/sample"
)

// The series of a run, over the seconds of its measured part.
const (
	seriesOperations = "operations/s"
	seriesHitRatio   = "hit ratio" // within the sample's interval
	seriesErrors     = "errors/s"
	seriesLoads      = "origin loads/s"
	seriesWaiting    = "callers waiting"
	seriesWorst      = "worst latency" // of operations that ended within the interval, in seconds
	seriesGoroutines = "goroutines"
	seriesHeap       = "heap"
)

// A sampler looks at the run now and then. It belongs to the goroutine that called Execute.
type sampler struct {
	*sample.Sampler

	run  *run
	last snapshot

	goroutines, heap Level
}

type snapshot struct {
	at     time.Duration
	counts [outcomes]uint64
	loads  uint64

	// Of batches.
	keys, hits uint64
}

func newSampler(r *run) *sampler {
	s := &sampler{run: r, Sampler: sample.New(seriesOperations, seriesHitRatio, seriesErrors,
		seriesLoads, seriesWaiting, seriesWorst, seriesGoroutines, seriesHeap)}
	s.goroutines.Start, s.heap.Start = sample.Program()
	s.goroutines.Peak, s.heap.Peak = s.goroutines.Start, s.heap.Start
	return s
}

// interval returns the time between two samples. It grows with the run, so that one of unknown
// length is neither too coarse at first nor too much in the end.
func (s *sampler) interval() time.Duration {
	const shortest, perRun = 20 * time.Millisecond, 400
	return max(shortest, (s.run.Now()-s.run.measuredFrom)/perRun)
}

// start begins the measured part.
func (s *sampler) start() {
	s.last = s.snapshot()
	s.last.at = s.run.measuredFrom
}

func (s *sampler) snapshot() snapshot {
	now := snapshot{at: s.run.Now(), loads: s.run.origin.Stats().Loads}
	for _, t := range s.run.tallies {
		for o := range now.counts {
			now.counts[o] += t.counts[o].Load()
		}
		now.keys += t.keys.Load()
	}
	if s.run.batch > 1 {
		now.hits = s.run.cache.Stats().Hits
	}
	return now
}

// hitRatio returns that of the keys that were asked for since an earlier snapshot, NaN without.
func (now snapshot) hitRatio(was snapshot) float64 {
	if now.keys > 0 {
		return min(1, float64(now.hits-was.hits)/float64(now.keys-was.keys))
	}
	reads := uint64(0)
	for o := range outcomes {
		if o != Write && o != Delete {
			reads += now.counts[o] - was.counts[o]
		}
	}
	return float64(now.counts[Hit]-was.counts[Hit]) / float64(reads)
}

func (s *sampler) sample() {
	r := s.run
	goroutines, heap := sample.Program()
	s.goroutines.Peak, s.heap.Peak = max(s.goroutines.Peak, goroutines), max(s.heap.Peak, heap)
	if !r.measuring.Load() {
		r.progress(0, "warming up")
		return
	}
	was, now := s.last, s.snapshot()
	at := now.at - r.measuredFrom
	first := was.at == r.measuredFrom // the only one of a short run, if that is over
	if !s.Next(at, s.interval()) && (!first || now.at <= was.at || !r.stopped.Load()) {
		return
	}
	s.last = now
	var worst int64
	for _, t := range r.tallies {
		worst = max(worst, t.worst.Swap(0))
	}
	ops := uint64(0)
	for o := range now.counts {
		ops += now.counts[o] - was.counts[o]
	}
	latency := math.NaN() // no operation ended
	if ops > 0 {
		latency = time.Duration(worst).Seconds()
	}
	perSecond := 0.0
	if !r.stopped.Load() || was.at < r.stoppedAt { // the last operations are no rate
		perSecond = s.Rate(seriesOperations, ops)
		s.Gauge(seriesHitRatio, now.hitRatio(was))
		s.Rate(seriesErrors, now.counts[Error]-was.counts[Error])
		s.Rate(seriesLoads, now.loads-was.loads)
	}
	s.Gauge(seriesWaiting, float64(r.cache.Stats().Courier.Waiting))
	s.Gauge(seriesWorst, latency)
	s.Gauge(seriesGoroutines, float64(goroutines))
	s.Gauge(seriesHeap, float64(heap))
	s.report(now, at, perSecond)
}

// report reports progress: how far the run is, and the rate of late.
func (s *sampler) report(now snapshot, at time.Duration, perSecond float64) {
	r, total := s.run, uint64(0)
	for _, n := range now.counts {
		total += n
	}
	part := at.Seconds() / r.params.Duration.Seconds()
	if r.requests > 0 {
		part = max(part, float64(max(total, now.keys))/float64(r.requests))
	}
	if r.stopped.Load() { // the last operations are awaited
		r.progress(min(part, 0.999), "no operation begins any more")
		return
	}
	text := fmt.Sprintf("%s operations, %s", human.Count(total), human.Rate(perSecond))
	if ratio := now.hitRatio(snapshot{hits: r.before.cache.Hits}); !math.IsNaN(ratio) {
		text += ", hit ratio " + human.Percent(ratio)
	}
	r.progress(part, text)
}

// finish adds what the sampler knows to the result.
func (s *sampler) finish(res *Result) {
	runtime.GC()
	s.goroutines.End, s.heap.End = sample.Program()
	res.Goroutines, res.Heap, res.WaitingPeak = s.goroutines, s.heap, int(s.Peak(seriesWaiting))
	res.Series = s.All()
}
