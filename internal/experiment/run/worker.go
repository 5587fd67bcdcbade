package run

import (
	"math/rand/v2"
	"time"

	"github.com/snowfence/snowfence/internal/verdict"
	"github.com/snowfence/snowfence/internal/workload"
)

// pathOps is the first step of the path of the streams that operations are drawn from. Package
// workload uses small numbers for its own.
const pathOps = 1 << 32

// A worker runs one operation after the other.
type worker struct {
	*tally

	run    *run
	keys   workload.Source
	ops    *rand.Rand
	onlyOp bool // all operations are reads
	call   *call
	batch  []uint64 // the keys of this read, if they are several
	toTime int      // reads until one is timed
}

func newWorker(r *run, t *tally, number int) *worker {
	n := uint64(number) //nolint:gosec // from 0 on
	m := r.params.Mix
	return &worker{
		tally:  t,
		run:    r,
		keys:   r.space.Source(n),
		ops:    workload.Stream(r.params.Seed, pathOps, n),
		onlyOp: m.Write == 0 && m.Delete == 0,
		call:   &call{run: r},
	}
}

const notDue = time.Duration(-1) // of a closed loop, where nothing is ever due

// loop runs operations until the run stops or there are no more keys.
func (w *worker) loop() {
	for !w.run.stopped.Load() {
		due := notDue
		if w.run.pacer != nil {
			var ok bool
			if due, ok = w.run.pacer.next(); !ok {
				return
			}
		}
		key, ok := w.keys.Next()
		if !ok {
			return
		}
		w.do(key, due)
	}
}

func (w *worker) do(key uint64, due time.Duration) {
	op := workload.Read
	if !w.onlyOp {
		op = w.run.params.Mix.Pick(w.ops)
	}
	measured := w.run.measuring.Load()
	if !measured {
		w.skip()
	} else if due != notDue {
		w.began(max(0, w.run.Now()-due))
	}
	switch op {
	case workload.Read:
		if w.run.batch > 1 {
			w.fill(key)
		}
		w.read(key, due, measured)
	case workload.Write:
		value := w.run.origin.Value(key)
		began := w.begin(due)
		w.run.cache.Set(key, value)
		w.end(Write, began, measured)
	case workload.Delete:
		began := w.begin(due)
		w.run.cache.Delete(key)
		w.end(Delete, began, measured)
	}
}

// begin returns the time from which an operation's latency counts.
func (w *worker) begin(due time.Duration) time.Duration {
	if due != notDue {
		return due
	}
	return w.run.Now()
}

func (w *worker) end(o Outcome, began time.Duration, measured bool) {
	if measured {
		w.add(o, w.run.Now()-began)
	}
}

// fetch reads the key, or the batch, and reports whether the value of a key is stale.
func (w *worker) fetch(c *call, key uint64) (stale bool, err error) {
	switch r := w.run; {
	case r.batch > 1:
		_, err = r.cache.FetchMany(c, w.batch, r.fetchMany)
	case r.stale:
		got, err := r.cache.FetchResult(c, key, r.fetch)
		return got.Stale, err
	default:
		_, err = r.cache.Fetch(c, key, r.fetch)
	}
	return false, err
}

func (w *worker) read(key uint64, due time.Duration, measured bool) {
	// A batch is looked up key by key: when that ends says little of when it began.
	timed := due != notDue || w.run.batch > 1
	w.toTime--
	if w.toTime < 0 {
		w.toTime = w.run.sampleHits - 1
		timed = true
	}
	var began time.Duration
	if timed {
		began = w.begin(due)
	}
	c := w.call
	stale, err := w.fetch(c, key)
	if !c.missed() {
		if measured && w.run.batch > 1 {
			w.addBatch(c, nil)
		}
		switch {
		case !measured:
		case timed:
			w.add(Hit, w.run.Now()-began)
		default:
			w.add(Hit, -1)
		}
		if w.run.refreshes { // one may have kept the call
			w.call = &call{run: w.run}
		}
		return
	}
	took := w.run.Now() - began
	if !timed {
		took = w.run.Now() - c.asked
	}
	c.cancel()
	w.call = &call{run: w.run}
	if !measured {
		return
	}
	kind := verdict.Of(err)
	if kind == verdict.Canceled && w.run.ctx.Err() != nil {
		w.cut()
		return
	}
	if w.run.batch > 1 {
		w.addBatch(c, err)
	} else if err != nil {
		w.fail(kind)
	}
	switch {
	case err != nil:
		w.add(Error, took)
	case stale:
		w.add(Stale, took)
	case c.ran.Load():
		w.add(Loaded, took)
	default:
		w.add(Joined, took)
	}
}
