package deletes

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Log is one node's log of deletes. Its methods may be called at the same time.
type Log struct {
	o     Options
	index index // has locks of its own

	maxRuns, maxSpans int // smaller in tests

	mu      sync.Mutex // guards what follows; never held while Apply or Reset run, and not needed for After
	made    uint64     // the latest Seq of this run
	runs    map[uint64]*run
	keys    map[string][]*record // what is kept of each key: the latest of each run
	arrival record               // ends of the list of what is in keys, the oldest first
	kept    int                  // how many there are in keys
	pending map[step]*batch      // being applied
	spans   int                  // in all runs
	tidying bool                 // somebody is in tidy
	swept   time.Duration        // when expired runs were last looked for
	retired time.Duration        // when a clear was made because there were too many runs, see retire
	active  int                  // runs of which something was made then or later

	applied, resets atomic.Uint64
}

// New makes a Log. It panics if Options lack what is needed.
func New(o Options) *Log {
	if o.Run == 0 || o.Apply == nil || o.Reset == nil || o.Max < 0 || o.Retain < 0 {
		panic("deletes: New: Run, Apply and Reset are needed, and Max and Retain can't be negative")
	}
	o.Max = cmp.Or(o.Max, DefaultMax)
	if o.Now == nil {
		start := time.Now()
		o.Now = func() time.Duration { return time.Since(start) }
	}
	l := &Log{
		o:        o,
		maxRuns:  maxRuns,
		maxSpans: maxSpans,
		runs:     make(map[uint64]*run),
		keys:     make(map[string][]*record),
		pending:  make(map[step]*batch),
		retired:  -1 << 62, // before anything
	}
	l.arrival.prev, l.arrival.next = &l.arrival, &l.arrival
	l.index.keys = make(map[string][]byte)
	l.swept = l.now()
	return l
}

func (l *Log) now() time.Duration { return l.o.Now() }

// Delete makes a delete of key, applies it here, and returns its ID. From its beginning on After tells it, from its
// end on Vector does.
func (l *Log) Delete(key string) ID {
	if len(key) > MaxKey {
		return l.Clear()
	}
	l.mu.Lock()
	now := l.now()
	l.expire(now, false)
	l.made++
	e := Entry{ID: ID{l.o.Run, l.made}, Key: key}
	b := newBatch()
	l.add(b, dated{e, now})
	l.mu.Unlock()
	l.run(b)
	l.tidy()
	return e.ID
}

// Clear makes a delete of all keys, applies it here, and returns its ID.
func (l *Log) Clear() ID {
	l.mu.Lock()
	id, b := l.clear()
	l.mu.Unlock()
	l.run(b)
	l.tidy()
	return id
}

// clear makes a clear of this run. It was made after all that is in the log, of whatever run, and so stands for that.
func (l *Log) clear() (ID, *batch) {
	now := l.now()
	l.made++
	e := Entry{ID: ID{l.o.Run, l.made}, All: true}
	b := newBatch()
	for _, r := range l.runs {
		r.floor, r.clear, r.records, r.kept = 0, nil, nil, 0
	}
	l.keys, l.kept = make(map[string][]*record), 0
	l.arrival.prev, l.arrival.next = &l.arrival, &l.arrival
	l.add(b, dated{e, now}) // shows the clear in place of the earlier clears and floors
	l.index.reset()
	return e.ID, b
}

// After returns the IDs of the deletes that whoever answers for key must have applied, for Require there: those of
// key, and all clears. It is nil if there are none, and at most MaxAfter bytes. It must not be changed. After never
// blocks for long, and allocates only if there are both.
func (l *Log) After(key string) []byte { return l.index.after(key) }

// Vector returns what has been applied here.
func (l *Log) Vector() Vector {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.vector(l.now())
}

func (l *Log) vector(now time.Duration) Vector {
	v := Vector{run: l.o.Run, runs: make([]progress, 0, len(l.runs))}
	for _, id := range slices.Sorted(maps.Keys(l.runs)) {
		if r := l.runs[id]; len(v.runs) < maxListed {
			v.runs = append(v.runs, r.progress(l.idle(r, now)))
		}
	}
	return v
}

// of returns what is known of a run, of which something made at the given time has been heard.
func (l *Log) of(id uint64, at time.Duration) *run {
	r := l.runs[id]
	if r == nil {
		r = &run{id: id, last: -1 << 63}
		l.runs[id] = r
	}
	if r.last < l.retired && at >= l.retired {
		l.active++
	}
	r.last = max(r.last, at)
	return r
}

// own returns an error if id is one of this run that has not been made.
func (l *Log) own(id ID) error {
	if id.Run == l.o.Run && id.Seq > l.made {
		return malformed("it has delete %d of this run, which has made %d", id.Seq, l.made)
	}
	return nil
}

// Stats are the counters of a Log.
type Stats struct {
	Entries int    // kept now, with clears
	Runs    int    // known now
	Made    uint64 // by this run
	Applied uint64 // of other runs
	Resets  uint64 // how often Reset was called
}

// Stats returns the counters.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries := l.kept
	for _, r := range l.runs {
		if r.clear != nil {
			entries++
		}
	}
	return Stats{entries, len(l.runs), l.made, l.applied.Load(), l.resets.Load()}
}
