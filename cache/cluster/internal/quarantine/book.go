package quarantine

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxRecords = 1024
	maxMarks   = 128 // of a record

	// keep is how long a record is kept without news and out of quarantine.
	keepRecord = 10 * time.Minute

	// doubt is how long the trial of a member is believed that can't be asked.
	believeUnreachable = 10 * time.Second

	// maxDoublings bounds how often further deaths double a quarantine.
	maxDoublings = 5
)

// An Incarnation is one run of a node.
type Incarnation struct {
	Node string
	ID   uint64
}

func compare(a, b Incarnation) int {
	return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID))
}

// Options configure a Book. All are needed but Changed.
type Options struct {
	Self       Incarnation
	Quarantine time.Duration // of a key with two deaths; each further one doubles it
	MaxKey     int           // bytes; longer keys are ignored

	// Changed is called, without locks, when a key becomes quarantined or, having been so, clear.
	Changed func(key string, v Verdict)
}

// A State says what may be done with a key.
type State uint8

// The states.
const (
	Clear       State = iota // it may be loaded
	Suspect                  // its trier may begin a trial
	OnTrial                  // another node's trial is under way, or it has announced the key
	Quarantined              // it may not be loaded
)

// A Verdict is what a Book says of a key.
type Verdict struct {
	State  State
	Deaths []string    // the nodes of those that are not forgiven, sorted
	Trier  Incarnation // that is to try a Suspect, or tries a key OnTrial
	Until  time.Time   // end of the quarantine
}

// A Book is one node's records. Its methods may be called at the same time, and do not block.
type Book struct {
	o          Options
	now        func() time.Time
	hasRecords atomic.Bool // whether there are records

	mu             sync.Mutex // guards all below
	records        map[string]*record
	members        map[Incarnation]health // the others
	seq            uint64                 // counts changes of records
	lastDeath      time.Time              // when a member was last found to be dead
	survivedTrials int                    // trials that ended well since then
	trials         uint64
	left           bool // this node tries no more
	swept          time.Time
	changed        chan struct{} // closed, and replaced, when a record has changed
}

// A record is what is known of one key.
type record struct {
	key            string
	marks          map[Incarnation]mark
	died           time.Time // of the last death, as far as is known here
	changedAt      time.Time
	seq            uint64
	trying         bool      // by this node
	loadingSince   time.Time // when that trial was allowed to load; zero: it is not yet
	notifiedDeaths int       // deaths when Changed was called for it last
}

// A mark is what is known of one incarnation and one key. Its counters only grow.
type mark struct {
	life  uint64 // odd: it has died, maybe of a load of the key; even: that is forgiven
	trial uint64 // its remainder by 4 is one of the following
}

const (
	noTrial       = 0
	trialUnderWay = 1
	trialFatal    = 2 // it has died in the last one
	nextTrial     = 4
)

func (m mark) dead() bool        { return m.life%2 == 1 }
func (m mark) trying() bool      { return m.trial%nextTrial == trialUnderWay }
func (m mark) diedInTrial() bool { return m.dead() && m.trial%nextTrial == trialFatal }

func (m mark) join(o mark) mark { return mark{max(m.life, o.life), max(m.trial, o.trial)} }

// withTrial returns m with the trial in another state, later than the one that it is in.
func (m mark) withTrial(state uint64) mark {
	trial := m.trial - m.trial%nextTrial + state
	if trial < m.trial {
		trial += nextTrial
	}
	return mark{m.life, trial}
}

// New returns an empty Book.
func New(o Options) *Book {
	o.Quarantine = min(o.Quarantine, math.MaxInt64>>maxDoublings)
	return &Book{
		o: o, now: time.Now, records: make(map[string]*record),
		members: make(map[Incarnation]health), changed: make(chan struct{}),
	}
}

// Empty reports whether there are no records, so that every key is clear. It takes no lock.
func (b *Book) Empty() bool { return !b.hasRecords.Load() }

// Check returns the verdict on key.
func (b *Book) Check(key string) Verdict {
	if b.Empty() {
		return Verdict{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.verdict(b.records[key])
}

func (b *Book) verdict(r *record) (v Verdict) {
	if r == nil {
		return v
	}
	for i, m := range r.marks {
		h, is := b.members[i] // nobody would say that one that is none has died
		switch {
		case m.dead():
			v.Deaths = append(v.Deaths, i.Node)
		case m.trying() && is && (!h.down || b.now().Sub(r.changedAt) <= believeUnreachable):
			v.State, v.Trier = OnTrial, i
		}
	}
	slices.Sort(v.Deaths)
	until := b.until(r)
	switch {
	case len(v.Deaths) == 0: // it is clear, or announced: see Announce
	case until.After(b.now()):
		return Verdict{State: Quarantined, Deaths: v.Deaths, Until: until}
	case v.State == Clear:
		v.State, v.Trier = Suspect, b.trier(r.key)
	}
	return v
}

// until returns when the quarantine of r ends; it is over if there have not been two deaths.
func (b *Book) until(r *record) time.Time {
	n := r.deaths()
	if n < 2 {
		return time.Time{}
	}
	return r.died.Add(b.o.Quarantine << min(n-2, maxDoublings))
}

func (r *record) deaths() (n int) {
	for _, m := range r.marks {
		if m.dead() {
			n++
		}
	}
	return n
}

// Changed returns a channel that is closed when a record changes.
func (b *Book) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Stats counts what a Book holds, and the trials that this node has begun to load for.
type Stats struct {
	Suspects    int // keys that are suspect or on trial
	Quarantined int
	Trials      uint64
}

// Stats returns the counts.
func (b *Book) Stats() (s Stats) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Trials = b.trials
	for _, r := range b.records {
		switch b.verdict(r).State {
		case Suspect, OnTrial:
			s.Suspects++
		case Quarantined:
			s.Quarantined++
		case Clear:
		}
	}
	return s
}

// update runs f under the lock, and then calls Changed for what has changed.
func (b *Book) update(f func()) {
	b.mu.Lock()
	before := b.seq
	b.sweep()
	f()
	b.hasRecords.Store(len(b.records) > 0)
	changes := make(map[string]Verdict)
	if b.seq != before {
		close(b.changed)
		b.changed = make(chan struct{})
		for key, r := range b.records {
			if r.seq <= before {
				continue
			}
			v := b.verdict(r)
			n := len(v.Deaths)
			if v.State == Quarantined && n > r.notifiedDeaths || n == 0 && r.notifiedDeaths > 0 {
				changes[key], r.notifiedDeaths = v, n
			}
		}
	}
	b.mu.Unlock()
	if b.o.Changed != nil {
		for key, v := range changes {
			b.o.Changed(key, v)
		}
	}
}

// set replaces a mark. mu is held.
func (b *Book) set(r *record, i Incarnation, m mark) {
	before := r.marks[i]
	if m == before {
		return
	}
	if _, known := r.marks[i]; !known && len(r.marks) >= maxMarks { // all nodes keep the same ones
		least := slices.MinFunc(slices.Collect(maps.Keys(r.marks)), compare)
		if compare(i, least) < 0 {
			return
		}
		delete(r.marks, least)
	}
	if m.dead() && m.life > before.life {
		r.died = b.now()
		b.markDead(i)
	}
	r.marks[i] = m
	b.seq++
	r.seq, r.changedAt = b.seq, b.now()
}

// record returns the record of key, a new one if there is none. Where there are too many, the
// oldest goes, of those that are clear if there are any. mu is held.
func (b *Book) record(key string) *record {
	if r := b.records[key]; r != nil {
		return r
	}
	if len(b.records) >= maxRecords {
		oldest := slices.MinFunc(slices.Collect(maps.Values(b.records)), func(x, y *record) int {
			return cmp.Or(cmp.Compare(min(1, x.deaths()), min(1, y.deaths())), cmp.Compare(x.seq, y.seq))
		})
		delete(b.records, oldest.key)
	}
	r := &record{key: key, marks: make(map[Incarnation]mark), changedAt: b.now()}
	b.records[key] = r
	return r
}

// sweep drops records without news. It does so once a second at most. mu is held.
func (b *Book) sweep() {
	now := b.now()
	if now.Sub(b.swept) < time.Second {
		return
	}
	b.swept = now
	for _, r := range b.records {
		if now.Sub(r.changedAt) > keepRecord && now.Sub(b.until(r)) > keepRecord && !r.trying {
			delete(b.records, r.key)
		}
	}
}
