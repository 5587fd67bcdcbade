package quarantine

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// An Incarnation is one run of a node.
type Incarnation struct {
	Node string
	ID   uint64
}

func compare(a, b Incarnation) int {
	if c := strings.Compare(a.Node, b.Node); c != 0 {
		return c
	}
	switch {
	case a.ID < b.ID:
		return -1
	case a.ID > b.ID:
		return 1
	}
	return 0
}

// Options configure a Book. Self is needed; the zero values of the others are defaults.
type Options struct {
	Self       Incarnation
	Quarantine time.Duration // of a key with two deaths; each further one doubles it. 30 s
	Keep       time.Duration // of a record without news and out of quarantine. 10 min
	Max        int           // records. 1,024
	MaxKey     int           // bytes of a key. 4 KiB
	Now        func() time.Time

	// Changed is called, without locks, when a key becomes quarantined or, having been so, clear.
	Changed func(key string, v Verdict)
}

const (
	maxDoublings = 5
	maxMarks     = 64  // incarnations of a record
	maxCulled    = 256 // incarnations that are known to be dead

	// The first trials after a death are alone on their node, so that a second death convicts one
	// key. As they end well there may be more at a time: one for each perTrial of them, up to
	// maxTrials.
	perTrial  = 8
	maxTrials = 64
	// A trial whose load takes longer than maxTurn holds no others up.
	maxTurn = time.Second

	// unseenTrial is for how long a trial is believed of an incarnation that is no member here.
	unseenTrial = 10 * time.Second
)

// A State says what may be done with a key.
type State uint8

// The states.
const (
	Clear       State = iota // it may be loaded
	Suspect                  // its trier may begin a trial
	OnTrial                  // another node's trial is under way
	Quarantined              // it may not be loaded
)

// A Verdict is what a Book says of a key.
type Verdict struct {
	State  State
	Deaths []Incarnation // that are not forgiven, sorted
	Trier  Incarnation   // whose trial is under way
	Until  time.Time     // end of the quarantine
}

// A Book is one node's records. Its methods may be called at the same time, and do not block.
type Book struct {
	o    Options
	some atomic.Bool // whether there are records

	mu      sync.Mutex // guards all below
	records map[string]*record
	members []Incarnation            // the others
	dead    map[Incarnation]int      // in how many records each is dead
	down    map[Incarnation]struct{} // that could not be asked lately
	culled  map[Incarnation]struct{} // that were dead once
	seq     uint64                   // counts changes of records
	died    time.Time                // when the last incarnation was first known to be dead
	good    int                      // trials that ended well since then
	trials  uint64
	swept   time.Time
	changed chan struct{} // closed, and replaced, when a record has changed
}

// A record is what is known of one key.
type record struct {
	key       string
	marks     map[Incarnation]mark
	died      time.Time // of the last death, as far as is known here
	news      time.Time
	seq       uint64
	trying    bool                   // by this node
	ready     time.Time              // when that trial was allowed to load; zero: it is not yet
	tried     map[Incarnation]uint32 // the deaths that this node's trial is to forgive
	convicted int                    // deaths for which it was quarantined
}

// A mark is what is known of one incarnation and one key. The counters only grow.
type mark struct {
	deaths, forgiven uint32
	begun, ended     uint32 // trials
	fell             uint32 // the last trial that it did not survive
}

func (m mark) dead() bool   { return m.deaths > m.forgiven }
func (m mark) trying() bool { return m.begun > m.ended }

func (m mark) join(o mark) mark {
	return mark{
		max(m.deaths, o.deaths), max(m.forgiven, o.forgiven),
		max(m.begun, o.begun), max(m.ended, o.ended), max(m.fell, o.fell),
	}
}

// next returns n + 1, which is as large as a message may have it.
func next(n uint32) uint32 { return min(n+1, maxCounter) }

// New returns an empty Book.
func New(o Options) *Book {
	if o.Quarantine == 0 {
		o.Quarantine = 30 * time.Second
	}
	if o.Keep == 0 {
		o.Keep = 10 * time.Minute
	}
	if o.Max == 0 {
		o.Max = 1024
	}
	if o.MaxKey == 0 {
		o.MaxKey = 4 << 10
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Book{
		o: o, records: make(map[string]*record), dead: make(map[Incarnation]int),
		down: make(map[Incarnation]struct{}), culled: make(map[Incarnation]struct{}),
		changed: make(chan struct{}),
	}
}

// Empty reports whether there are no records, so that every key is clear. It takes no lock.
func (b *Book) Empty() bool { return !b.some.Load() }

// Check returns the verdict on key.
func (b *Book) Check(key string) Verdict {
	if b.Empty() {
		return Verdict{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.verdict(b.records[key], b.o.Now())
}

func (b *Book) verdict(r *record, now time.Time) (v Verdict) {
	if r == nil {
		return v
	}
	for i, m := range r.marks {
		switch {
		case m.dead():
			v.Deaths = append(v.Deaths, i)
		case m.trying() && i != b.o.Self && (v.State == Clear || compare(i, v.Trier) < 0):
			v.State, v.Trier = OnTrial, i
		}
	}
	if len(v.Deaths) == 0 {
		return Verdict{}
	}
	slices.SortFunc(v.Deaths, compare)
	if until := b.until(r, len(v.Deaths)); until.After(now) {
		return Verdict{State: Quarantined, Deaths: v.Deaths, Until: until}
	}
	if v.State == Clear {
		v.State = Suspect
	}
	return v
}

// until returns when the quarantine of r ends, which is in the past if it has had fewer than two
// deaths.
func (b *Book) until(r *record, deaths int) time.Time {
	if deaths < 2 {
		return time.Time{}
	}
	return r.died.Add(b.o.Quarantine << min(deaths-2, maxDoublings))
}

// Asked returns what Lost wants to know of the time at which the request was sent.
func (b *Book) Asked(key string, at Incarnation) (forgiven uint32) {
	if b.Empty() {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.records[key]; r != nil {
		return r.marks[at].forgiven
	}
	return 0
}

// Lost notes that the connection to at broke while a request for key was under way there; asked is
// what Asked returned before it was sent. If at was trying another key, that one has killed it.
func (b *Book) Lost(key string, at Incarnation, asked uint32) {
	b.update(func(now time.Time) {
		b.down[at] = struct{}{}
		if b.fell(at, now) {
			return
		}
		r := b.record(key, now)
		m := r.marks[at]
		m.deaths = max(m.deaths, next(asked))
		b.set(r, at, m, now)
	})
}

// Refused notes that at, which has answered before, refuses connections: its process is gone, and a
// load of key may have been what ended it. That counts once for a key.
func (b *Book) Refused(key string, at Incarnation) {
	b.update(func(now time.Time) {
		b.down[at] = struct{}{}
		if b.fell(at, now) {
			return
		}
		r := b.record(key, now)
		m := r.marks[at]
		m.deaths = max(m.deaths, 1)
		b.set(r, at, m, now)
	})
}

// fell reports whether at has died in a trial, and counts that if it was not yet known.
func (b *Book) fell(at Incarnation, now time.Time) (fell bool) {
	for _, r := range b.records {
		b.endOf(r, at, now)
		m := r.marks[at]
		fell = fell || m.fell > 0 && m.dead()
	}
	return fell
}

// LostTrial is Lost for a request for a trial of key. It counts only if the trial had begun: a key
// that waits for its turn kills no node.
func (b *Book) LostTrial(key string, at Incarnation) {
	b.update(func(now time.Time) {
		b.down[at] = struct{}{}
		if r := b.records[key]; r != nil {
			b.endOf(r, at, now)
		}
	})
}

// SetMembers says which other incarnations are members. The trial of one that no longer is has
// killed it.
func (b *Book) SetMembers(members []Incarnation) {
	b.update(func(now time.Time) {
		before := b.members
		b.members = members
		for _, i := range before {
			if b.member(i) {
				continue
			}
			delete(b.down, i)
			for _, r := range b.records {
				b.endOf(r, i, now)
			}
		}
	})
}

func (b *Book) member(i Incarnation) bool { return slices.Contains(b.members, i) }

// endOf counts the death of a trier, if its trial is under way.
func (b *Book) endOf(r *record, at Incarnation, now time.Time) {
	m := r.marks[at]
	if !m.trying() || at == b.o.Self {
		return
	}
	m.ended, m.fell = m.begun, m.begun
	m.deaths = max(m.deaths, next(m.forgiven))
	b.set(r, at, m, now)
}

// Down notes that an incarnation could not be asked, so that it is not chosen as trier until Up.
func (b *Book) Down(at Incarnation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at != b.o.Self {
		b.down[at] = struct{}{}
	}
}

// IsDown reports whether an incarnation could not be asked lately.
func (b *Book) IsDown(at Incarnation) bool {
	if b.Empty() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, down := b.down[at]
	return down
}

// Up notes that an incarnation answers.
func (b *Book) Up(at Incarnation) {
	if b.Empty() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.down, at)
}

// Trier returns which of the members, or this node, is to try key: the same on all nodes that see
// the same members and know the same deaths.
func (b *Book) Trier(key string) Incarnation {
	b.mu.Lock()
	defer b.mu.Unlock()
	unit := xxhash.Sum64String(key)
	best, most := b.o.Self, score(unit, b.o.Self)
	for _, i := range b.members {
		if _, down := b.down[i]; down || b.dead[i] > 0 {
			continue
		}
		if s := score(unit, i); s > most || s == most && compare(i, best) < 0 {
			best, most = i, s
		}
	}
	return best
}

// score is the last step of splitmix64 (Steele, Lea and Flood, 2014) on the hashes of both.
func score(unit uint64, i Incarnation) uint64 {
	x := unit ^ xxhash.Sum64String(i.Node) ^ i.ID
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// turn reports whether this node may begin one more trial. mu is held.
func (b *Book) turn(now time.Time) bool {
	running := 0
	for _, r := range b.records {
		if r.trying && (r.ready.IsZero() || now.Sub(r.ready) < maxTurn) {
			running++
		}
	}
	return running < max(1, min(b.good/perTrial, maxTrials))
}

// Begin begins a trial of key by this node, and returns the number up to which all members must
// confirm what they were sent before Ready is called. It returns false if the key may not be tried,
// or it is not its turn.
func (b *Book) Begin(key string) (seq uint64, ok bool) {
	b.update(func(now time.Time) {
		r := b.records[key]
		if ok = b.verdict(r, now).State == Suspect && !r.trying && b.turn(now); !ok {
			return
		}
		r.trying = true
		m := r.marks[b.o.Self]
		m.begun = next(m.ended)
		b.set(r, b.o.Self, m, now)
		seq = b.seq
	})
	return seq, ok
}

// Ready returns the verdict on a key whose trial this node has begun and all members have
// confirmed. If it is Suspect, the key may be loaded now. Otherwise the trial has ended.
func (b *Book) Ready(key string) (v Verdict) {
	b.update(func(now time.Time) {
		r := b.records[key]
		if v = b.verdict(r, now); v.State == Suspect && !r.trying {
			v.State = OnTrial // EndAll has ended it
		}
		if v.State == Suspect {
			b.trials++
			r.ready = now
			r.tried = make(map[Incarnation]uint32, len(r.marks))
			for i, m := range r.marks {
				r.tried[i] = m.deaths
			}
		} else if r != nil && r.trying {
			b.end(r, false, now)
		}
	})
	return v
}

// End ends a trial of this node. With cleared, which says that the load has returned, the deaths
// that were known when Ready was called are forgiven.
func (b *Book) End(key string, cleared bool) {
	b.update(func(now time.Time) {
		if r := b.records[key]; r != nil && r.trying {
			b.end(r, cleared, now)
		}
	})
}

// EndAll ends all trials of this node, and returns whether there were some, and up to which number
// the members must confirm what they were sent to know of it.
func (b *Book) EndAll() (seq uint64, some bool) {
	b.update(func(now time.Time) {
		for _, r := range b.records {
			if r.trying {
				b.end(r, false, now)
				some = true
			}
		}
		seq = b.seq
	})
	return seq, some
}

func (b *Book) end(r *record, cleared bool, now time.Time) {
	m, tried := r.marks[b.o.Self], r.tried
	r.trying, r.ready, r.tried = false, time.Time{}, nil
	m.ended = m.begun
	b.set(r, b.o.Self, m, now)
	if !cleared {
		return
	}
	b.good++
	for i, deaths := range tried {
		m := r.marks[i]
		m.forgiven = max(m.forgiven, deaths)
		b.set(r, i, m, now)
	}
}

// Rest returns how long ago another incarnation became known to be dead; an hour if none has.
func (b *Book) Rest() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.died.IsZero() {
		return time.Hour
	}
	return b.o.Now().Sub(b.died)
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
	now := b.o.Now()
	for _, r := range b.records {
		switch b.verdict(r, now).State {
		case Suspect, OnTrial:
			s.Suspects++
		case Quarantined:
			s.Quarantined++
		case Clear:
		}
	}
	return s
}

// update runs f under the lock, and then reports what has changed.
func (b *Book) update(f func(now time.Time)) {
	b.mu.Lock()
	now, before := b.o.Now(), b.seq
	b.sweep(now)
	f(now)
	b.some.Store(len(b.records) > 0)
	type change struct {
		key string
		v   Verdict
	}
	var changes []change
	if b.seq != before {
		close(b.changed)
		b.changed = make(chan struct{})
		for _, r := range b.records {
			if r.seq <= before {
				continue
			}
			v := b.verdict(r, now)
			switch n := len(v.Deaths); {
			case v.State == Quarantined && n > r.convicted:
				r.convicted = n
			case n == 0 && r.convicted > 0:
				r.convicted = 0
			default:
				continue
			}
			changes = append(changes, change{r.key, v})
		}
	}
	b.mu.Unlock()
	if b.o.Changed != nil {
		for _, c := range changes {
			b.o.Changed(c.key, c.v)
		}
	}
}

// set replaces a mark. mu is held.
func (b *Book) set(r *record, i Incarnation, m mark, now time.Time) {
	before := r.marks[i]
	if m == before {
		return
	}
	switch {
	case m.dead() && !before.dead():
		b.dead[i]++
	case !m.dead() && before.dead():
		b.revive(i)
	}
	if m.deaths > before.deaths {
		r.died = now
		b.cull(i, now)
	}
	r.marks[i] = m
	b.seq++
	r.seq, r.news = b.seq, now
}

// cull notes that an incarnation is dead. mu is held.
func (b *Book) cull(i Incarnation, now time.Time) {
	if _, known := b.culled[i]; known {
		return
	}
	if len(b.culled) >= maxCulled {
		clear(b.culled)
	}
	b.culled[i] = struct{}{}
	b.died, b.good = now, 0
}

// record returns the record of key, a new one if there is none. mu is held.
func (b *Book) record(key string, now time.Time) *record {
	if r := b.records[key]; r != nil {
		return r
	}
	if len(b.records) >= b.o.Max {
		var oldest *record
		for _, r := range b.records {
			if oldest == nil || b.before(r, oldest) {
				oldest = r
			}
		}
		b.drop(oldest)
	}
	r := &record{key: key, marks: make(map[Incarnation]mark), news: now}
	b.records[key] = r
	return r
}

// before reports whether a is to be dropped before o: clear records go first, then those with the
// oldest news.
func (b *Book) before(a, o *record) bool {
	if x, y := b.deaths(a) == 0, b.deaths(o) == 0; x != y {
		return x
	}
	return a.seq < o.seq
}

func (b *Book) deaths(r *record) (n int) {
	for _, m := range r.marks {
		if m.dead() {
			n++
		}
	}
	return n
}

// revive notes that an incarnation is dead in one record less. mu is held.
func (b *Book) revive(i Incarnation) {
	b.dead[i]--
	if b.dead[i] == 0 {
		delete(b.dead, i)
	}
}

func (b *Book) drop(r *record) {
	for i, m := range r.marks {
		if m.dead() {
			b.revive(i)
		}
	}
	delete(b.records, r.key)
}

// sweep drops records without news, and ends trials of incarnations that have not been seen here.
// It does so once a second at most. mu is held.
func (b *Book) sweep(now time.Time) {
	if now.Sub(b.swept) < time.Second {
		return
	}
	b.swept = now
	for _, r := range b.records {
		if now.Sub(r.news) > unseenTrial {
			for i := range r.marks {
				if !b.member(i) {
					b.endOf(r, i, now)
				}
			}
		}
		last := r.news
		if until := b.until(r, b.deaths(r)); until.After(last) {
			last = until
		}
		if now.Sub(last) > b.o.Keep && !r.trying {
			b.drop(r)
		}
	}
}
