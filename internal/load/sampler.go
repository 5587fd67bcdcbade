package load

import (
	"math"
	"runtime"
	"time"

	"github.com/snowfence/snowfence/internal/lab/sample"
	"github.com/snowfence/snowfence/internal/series"
)

// The series of a run, over the seconds of its measured part.
const (
	SeriesOperations = "operations/s"
	SeriesHitRatio   = "hit ratio" // within the sample's interval
	SeriesErrors     = "errors/s"
	SeriesLoads      = "origin loads/s"
	SeriesWaiting    = "callers waiting"
	SeriesWorst      = "worst latency" // of operations that ended within the interval, in seconds
	SeriesGoroutines = "goroutines"
	SeriesHeap       = "heap"
)

// A sampler looks at the run now and then. It belongs to the goroutine that
// called Run.
type sampler struct {
	run     *run
	rec     *series.Recorder
	last    snapshot
	waiting int

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
	s := &sampler{run: r, rec: series.NewRecorder(SeriesOperations, SeriesHitRatio, SeriesErrors,
		SeriesLoads, SeriesWaiting, SeriesWorst, SeriesGoroutines, SeriesHeap)}
	s.goroutines.Start, s.heap.Start = sample.Program()
	s.goroutines.Peak, s.heap.Peak = s.goroutines.Start, s.heap.Start
	return s
}

// interval grows with the run, so that one of unknown length is neither too
// coarse at first nor too much in the end.
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

// hitRatio is that of the keys that were asked for since an earlier snapshot; NaN without.
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
		s.observe(Progress{Warming: true, HitRatio: math.NaN()})
		return
	}
	was, now := s.last, s.snapshot()
	at := now.at - r.measuredFrom
	since, due := s.rec.Next(at, s.interval())
	first := was.at == r.measuredFrom // the only one of a short run, if that is over
	if !due && (!first || since <= 0 || !r.stopped.Load()) {
		return
	}
	span := since.Seconds()
	s.last = now
	waiting := r.cache.Stats().Courier.Waiting
	s.waiting = max(s.waiting, waiting)
	var worst int64
	for _, t := range r.tallies {
		worst = max(worst, t.worst.Swap(0))
	}
	ops := 0.0
	for o := range now.counts {
		ops += float64(now.counts[o] - was.counts[o])
	}
	latency := math.NaN() // no operation ended
	if ops > 0 {
		latency = time.Duration(worst).Seconds()
	}
	if !r.stopped.Load() || was.at < r.stoppedAt { // the last operations are no rate
		s.rec.Add(SeriesOperations, at, ops/span)
		s.rec.Add(SeriesHitRatio, at, now.hitRatio(was))
		s.rec.Add(SeriesErrors, at, float64(now.counts[Error]-was.counts[Error])/span)
		s.rec.Add(SeriesLoads, at, float64(now.loads-was.loads)/span)
	}
	s.rec.Add(SeriesWaiting, at, float64(waiting))
	s.rec.Add(SeriesWorst, at, latency)
	s.rec.Add(SeriesGoroutines, at, float64(goroutines))
	s.rec.Add(SeriesHeap, at, float64(heap))

	total := uint64(0)
	for _, n := range now.counts {
		total += n
	}
	p := Progress{
		Finishing:  r.stopped.Load(),
		Operations: total,
		PerSecond:  ops / span,
		HitRatio:   now.hitRatio(snapshot{hits: r.before.cache.Hits}),
		Fraction:   at.Seconds() / r.cfg.Duration.Seconds(),
	}
	if r.cfg.Requests > 0 {
		p.Fraction = max(p.Fraction, float64(max(total, now.keys))/float64(r.cfg.Requests))
	}
	s.observe(p)
}

func (s *sampler) observe(p Progress) {
	if s.run.cfg.Observe != nil {
		s.run.cfg.Observe(p)
	}
}

// finish adds what the sampler knows to the result.
func (s *sampler) finish(res *Result) {
	runtime.GC()
	s.goroutines.End, s.heap.End = sample.Program()
	res.Goroutines, res.Heap, res.WaitingPeak = s.goroutines, s.heap, s.waiting
	res.Series = s.rec.All()
}
