package snowball

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/verdict"
)

// An event is one piece of work.
type event struct {
	intended time.Duration // since the start of the run
	key      uint64
	failing  bool
}

// An answer is a value or an error that a worker got of the cache.
type answer struct {
	stale bool
	err   error
}

func (a answer) kind() verdict.Kind {
	if a.stale {
		return verdict.Stale
	}
	return verdict.Of(a.err)
}

// A meter counts what becomes of events. It is safe for concurrent use.
type meter struct {
	line phase.Line

	// deaths holds, for each failing key, when its last fetch died, since the start of the run. The
	// map is never written to after newMeter.
	deaths map[uint64]*atomic.Int64

	held atomic.Int64 // workers that fetch a failing key now

	mu sync.Mutex // guards all below
	totals
	now interval
}

// totals are the counts since the start.
type totals struct {
	offered    uint64
	dropped    uint64
	served     uint64 // got their value
	failed     uint64 // healthy or failing, got an error
	timedOut   uint64 // of these, the ones whose own time-out ended the wait
	unfinished uint64 // queued or waiting when the run ended
	heldPeak   int64
	queuePeak  int
	droppedOK  uint64              // healthy events among dropped
	failedOK   uint64              // healthy events among failed
	healthy    [phase.Count]uint64 // healthy events that were served
	due        [phase.Count]uint64 // healthy events that were offered
	told       map[verdict.Kind]uint64

	// Of events of failing keys, by when they were offered; without what follows from the rest.
	failing [phase.Count]Failing

	latency [phase.Count]*measured.Times // of healthy events, by when they were offered
	answer  [phase.Count]*measured.Times // of these events, from call to answer
	learn   *measured.Times              // callers of failing keys: from call to error
	tell    *measured.Times              // the same, but from the fetch's death if that was later
}

// An interval holds the counts since the last sample.
type interval struct {
	healthy, healthyOffered, timedOut, dropped uint64
	// events that got a value, and of them a stale one
	answered, stale uint64

	latency *measured.Times
}

func newMeter(line phase.Line, failing []uint64) *meter {
	m := &meter{line: line, deaths: make(map[uint64]*atomic.Int64, len(failing))}
	for _, key := range failing {
		m.deaths[key] = new(atomic.Int64)
	}
	m.told = make(map[verdict.Kind]uint64)
	for p := range m.latency {
		m.latency[p], m.answer[p] = measured.Fine(), measured.Fine()
	}
	m.learn, m.tell, m.now.latency = measured.Fine(), measured.Fine(), measured.Fine()
	return m
}

func (m *meter) isFailing(key uint64) bool { return m.deaths[key] != nil }

// offer counts an event that the generator put into the queue or, if that was full, dropped. depth
// is the queue's length after that.
func (m *meter) offer(e event, queued bool, depth int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offered++
	m.queuePeak = max(m.queuePeak, depth)
	if !e.failing {
		m.now.healthyOffered++
		m.due[m.line.At(e.intended)]++
	} else {
		m.failing[m.line.At(e.intended)].Offered++
	}
	if queued {
		return
	}
	m.dropped++
	m.now.dropped++
	if !e.failing {
		m.droppedOK++
	}
}

// died notes that the fetch of a key has just died.
func (m *meter) died(key uint64, at time.Duration) {
	if d := m.deaths[key]; d != nil {
		d.Store(int64(at))
	}
}

// hold notes that a worker begins to fetch. The worker calls done when it has ended.
func (m *meter) hold(e event) (done func()) {
	if !e.failing {
		return func() {}
	}
	n := m.held.Add(1)
	m.mu.Lock()
	m.heldPeak = max(m.heldPeak, n)
	m.mu.Unlock()
	return func() { m.held.Add(-1) }
}

// finish counts an event, by when its worker called the cache and when it had the answer.
func (m *meter) finish(e event, called, answered time.Duration, a answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.err == nil {
		m.served++
		m.now.answered++
	} else {
		m.failed++
	}
	if a.stale {
		m.now.stale++
	}
	if a.kind() == verdict.Deadline {
		m.timedOut++
		m.now.timedOut++
	}
	if e.failing {
		m.told[a.kind()]++
		m.answeredFailing(e, answered-called, a)
		if a.err != nil {
			m.learned(e, called, answered)
		}
		return
	}
	if a.err == nil {
		m.healthy[m.line.At(answered)]++
		m.now.healthy++
	} else {
		m.failedOK++
	}
	m.latency[m.line.At(e.intended)].Add(answered - e.intended)
	m.now.latency.Add(answered - e.intended)
}

// answeredFailing counts what the caller of a failing key got, and after how long. mu is held.
func (m *meter) answeredFailing(e event, took time.Duration, a answer) {
	p := m.line.At(e.intended)
	switch f := &m.failing[p]; {
	case a.err != nil:
		f.Errors++
	case a.stale:
		f.Stale++
	default:
		f.Fresh++
	}
	m.answer[p].Add(took)
}

// learned notes how long the caller of a failing key waited for its error. mu is held.
func (m *meter) learned(e event, called, answered time.Duration) {
	m.learn.Add(answered - called)
	if death := time.Duration(m.deaths[e.key].Load()); death > 0 && death <= answered {
		m.tell.Add(answered - max(death, called))
	}
}

// abort counts an event that was queued or waited for its key when the run ended.
func (m *meter) abort(e event, ended time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unfinished++
	if !e.failing {
		m.latency[m.line.At(e.intended)].Add(ended - e.intended)
	}
}

// swap returns the counts since the last call. The histogram in them is the caller's until it calls
// swap again with it.
func (m *meter) swap(spare *measured.Times) interval {
	spare.Reset()
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.now
	m.now = interval{latency: spare}
	return last
}

// total returns a copy of the counts. The histograms are shared, so that nothing may be measured
// any more.
func (m *meter) total() totals {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.totals
	t.told = maps.Clone(m.told)
	return t
}
