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

	// keepRecord is how long a record is kept that has not changed and whose quarantine is over.
	keepRecord = 10 * time.Minute

	// believeUnreachable is how long a trial of a member that can't be asked counts.
	believeUnreachable = 10 * time.Second

	// maxDoublings bounds how many further deaths double a quarantine.
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

// Options configures a Book. All fields but Changed are needed.
type Options struct {
	Self       Incarnation
	Quarantine time.Duration // of a key with two deaths; each further death doubles it
	MaxKey     int           // bytes; longer keys are ignored

	// Changed is called, without locks held, when a key becomes quarantined, or becomes clear after it
	// was.
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

// A Verdict says what may be done with a key, and why.
type Verdict struct {
	State  State
	Deaths []string    // the nodes of the deaths that are not forgiven, sorted
	Trier  Incarnation // the one to try a Suspect, or the one that tries a key OnTrial
	Until  time.Time   // end of the quarantine
}

// A Book holds one node's records. Its methods may be called by several goroutines at a time, and
// do not block.
type Book struct {
	o          Options
	now        func() time.Time
	hasRecords atomic.Bool // whether there are records

	mu             sync.Mutex // guards all below
	records        map[string]*record
	members        map[Incarnation]health // the others
	seq            uint64                 // counts changes of records
	lastDeath      time.Time              // when a member was found to be dead, the last time
	survivedTrials int                    // trials since then whose loads have returned
	trials         uint64
	left           bool // this node begins no more trials
	swept          time.Time
	changed        chan struct{} // closed and replaced when a record has changed
}

// A record holds what is known of one key.
type record struct {
	key            string
	marks          map[Incarnation]mark
	died           time.Time // when the last death was, as far as is known here
	changedAt      time.Time
	seq            uint64
	trying         bool      // this node tries or has announced the key
	loadingSince   time.Time // when that trial began to load; zero before that
	notifiedDeaths int       // deaths at the last call of Changed for it
}

// A mark holds what is known of one incarnation and one key. Its counters only grow.
type mark struct {
	life  uint64 // odd if it has died, maybe of a load of the key; even if that is forgiven
	trial uint64 // modulo nextTrial, one of the states below
}

const (
	noTrial       = 0
	trialUnderWay = 1
	trialFatal    = 2 // it has died in its last trial
	nextTrial     = 4
)

func (m mark) dead() bool        { return m.life%2 == 1 }
func (m mark) trying() bool      { return m.trial%nextTrial == trialUnderWay }
func (m mark) diedInTrial() bool { return m.dead() && m.trial%nextTrial == trialFatal }

func (m mark) join(o mark) mark { return mark{max(m.life, o.life), max(m.trial, o.trial)} }

// withTrial returns m with its trial advanced to another state.
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
		h, is := b.members[i] // nobody would report the death of one that is no member
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
	case len(v.Deaths) == 0: // clear, or announced: see Announce
	case until.After(b.now()):
		return Verdict{State: Quarantined, Deaths: v.Deaths, Until: until}
	case v.State == Clear:
		v.State, v.Trier = Suspect, b.trier(r.key)
	}
	return v
}

// until returns when the quarantine of r ends; the zero time if there have not been two deaths.
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

// Stats has the counts of a Book, with the trials for which this node has begun to load.
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

// All returns the verdicts on the keys that are not clear.
func (b *Book) All() map[string]Verdict {
	if b.Empty() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[string]Verdict)
	for key, r := range b.records {
		if v := b.verdict(r); v.State != Clear {
			all[key] = v
		}
	}
	return all
}

// update runs f under the lock, and then calls Changed for the keys that have changed.
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
	if _, known := r.marks[i]; !known && len(r.marks) >= maxMarks { // the same ones stay on all nodes
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

// record returns the record of key, a new one if there is none. If there are too many, the oldest
// is dropped, of those that are clear if there are any. mu is held.
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

// sweep drops outdated records, once a second at most. mu is held.
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
