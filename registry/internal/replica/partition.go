package replica

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

// A Partition is one node's replica of one partition of the names. It is a state machine: a call is
// an input, and its effects are kept until [Partition.Take]. It starts no goroutine, reads no clock
// and sends nothing. Its methods must not be called at the same time.
type Partition struct {
	cfg    Config
	source *rand.PCG // of rand, for Clone
	rand   *rand.Rand

	own     *table
	tables  map[string]*table // by origin; own included
	order   []string          // the keys of tables, sorted, so that nothing depends on a map's order
	peers   []string          // the other nodes that are up, sorted
	behind  int               // how many of them this replica has not caught up with
	laggard string            // one of those

	sole       map[string]*Record  // by name: the only claim there is
	contests   map[string]*contest // by name, where there are several
	live       int                 // names with a visible winner
	unresolved map[string]struct{} // names with an own winner beside a visible claim

	// own claims lost lately, by name, to detect that the winner withdrew, too
	withdrawn map[string]Loss
	disagreed map[string]Loss // disagreements that were reported

	flushed uint64        // Flush has handed out own changes up to here
	pending int           // own records after flushed
	oldest  time.Duration // when the first of them was made

	summaryAt time.Duration // when the next probe is due
	refuteAt  time.Duration // no refute before
	refuteGap time.Duration
	clamps    uint64 // of the clock, when own timestamps were last checked

	out   Output
	stats Stats
}

// Config describes a partition. Self, Incarnation and Clock are required.
type Config struct {
	Self        string // the own node's name
	Partition   int    // the partition's number, which is mixed into Seed
	Incarnation uint64 // of this run of the node: higher than that of any earlier run
	Clock       *hlc.Clock
	Seed        uint64 // of the jitter and the choice of peers

	// Compare returns a positive number to keep a, a negative one to keep b, and 0 for the default
	// order: the newer claim, and of equal timestamps that of the greater node name. It is called
	// with a before b in the order of node names. nil: always 0. A panic counts as 0.
	Compare func(a, b *Record) int

	// Shared reports whether claims on the name stand side by side, one for each node, instead of
	// conflicting. nil: none.
	Shared func(name string) bool

	// Compared is set if the caller compares the Root of many partitions at once, and sends a
	// [Summary] where they differ: the partition sends none by itself.
	Compared bool

	// Publish is called with each new visible winner of a name; nil: there is none any more.
	Publish func(name string, winner *Record)

	Limits
}

// Limits are the bounds and intervals of the protocol. A zero field has the default.
type Limits struct {
	ChunkBytes   int           // the largest chunk, roughly; 128 KiB
	Tombstones   int           // kept per origin, for pulls; 1024
	BlockRecords int           // claims in a block of a Check; 64
	Buffered     int           // updates per origin that wait for a gap to close; 64
	Pulls        int           // pulls under way at a time; 3
	SummaryEvery time.Duration // between probes of a random peer; 2 s, jittered by a quarter
	GapPatience  time.Duration // the time that a gap has to close before a pull; 100 ms
	PullTimeout  time.Duration // until an unanswered pull is tried again, doubling to 16 times; 1 s
	VectorEvery  time.Duration // the least time between two unasked vectors to a peer; 500 ms
	ForgetAfter  time.Duration // until the hidden claims of a node that is down are dropped; 10 min
}

// At is the moment of an input.
type At struct {
	Wall int64         // the wall clock, in nanoseconds since the Unix epoch; may step
	Mono time.Duration // a clock that never steps, for intervals
}

// Output holds the effects of inputs.
type Output struct {
	Send   []Envelope
	Relay  []*Update // updates of other origins that were news, for gossip to pass on
	Events []Event
	Lost   []Loss // own claims that were withdrawn because another was preferred
}

// An Envelope is a message to one node. Messages may be lost, doubled and overtaken.
type Envelope struct {
	To      string
	Message Message
}

// A Loss is a conflict that this node lost: its own claim, now withdrawn, and the winner.
type Loss struct {
	Own, Winner *Record
}

// An Event is a change of what this replica shows.
type Event struct {
	Type   EventType
	Name   string
	Record *Record // the claim that has, or had, the name; of Conflict and Disagreement: the winner
	Other  *Record // of Updated: the record before; of Conflict and Disagreement: the loser
	Why    Why     // of Unregistered
	Panic  any     // of ResolverPanic
}

// EventType is the type of an [Event].
type EventType uint8

// Types of events.
const (
	Registered EventType = iota + 1 // the name has a holder, or another one
	Updated                         // the same holder, other metadata or an older time
	// Unregistered: the name's holder is gone or hidden; Registered follows if another takes over.
	Unregistered
	Conflict      // two nodes claim the name; Record was preferred to Other
	Disagreement  // another node is seen to have resolved the conflict the other way
	ResolverPanic // the resolver panicked; the default order decided
	SharedChanged // the claims on a shared name changed; Record is the new one or its tombstone
	ClockAhead    // the clock is too far ahead; own claims got new timestamps
)

// Counts count what the protocol did since the start.
type Counts struct {
	Gaps          uint64 // updates that came with a gap before them
	Pulls         uint64 // requests for what was missing
	PullTimeouts  uint64
	Served        uint64 // records sent to nodes that lacked them
	Resyncs       uint64 // times that a server's tombstones did not reach back far enough
	Conflicts     uint64
	Lost          uint64 // conflicts that cost this node its claim
	Disagreements uint64
	Refutations   uint64 // times that others knew more of this node than it does itself
	Ignored       uint64 // messages about nodes that are not up, or of earlier runs
	Tombstones    int    // kept now
}

// Stats describes a partition at a moment.
type Stats struct {
	Counts

	// messages by Kind; Sent counts envelopes, and the updates of Flush
	Received, Sent  [Kinds]uint64
	Checks          uint64 // times that this replica began to ask which claims still stand
	DroppedBuffered uint64 // updates dropped because too many waited for a gap

	// Held now: updates that wait for a gap, records in all logs (claims, tombstones and stale ones),
	// names with several claims.
	Buffered, Log, Contested int
}

// New returns an empty partition of a node that is alone.
func New(c Config) *Partition {
	c.Limits = c.withDefaults()
	source := rand.NewPCG(c.Seed, uint64(c.Partition))
	own := newTable(c.Self, c.Incarnation)
	own.visible = true
	return &Partition{
		cfg:        c,
		source:     source,
		rand:       rand.New(source),
		own:        own,
		tables:     map[string]*table{c.Self: own},
		order:      []string{c.Self},
		sole:       make(map[string]*Record),
		contests:   make(map[string]*contest),
		unresolved: make(map[string]struct{}),
		withdrawn:  make(map[string]Loss),
		disagreed:  make(map[string]Loss),
	}
}

func (l Limits) withDefaults() Limits {
	l.ChunkBytes = cmp.Or(l.ChunkBytes, 128<<10)
	l.Tombstones = cmp.Or(l.Tombstones, 1024)
	l.BlockRecords = cmp.Or(l.BlockRecords, 64)
	l.Buffered = cmp.Or(l.Buffered, 64)
	l.Pulls = cmp.Or(l.Pulls, 3)
	l.SummaryEvery = cmp.Or(l.SummaryEvery, 2*time.Second)
	l.GapPatience = cmp.Or(l.GapPatience, 100*time.Millisecond)
	l.PullTimeout = cmp.Or(l.PullTimeout, time.Second)
	l.VectorEvery = cmp.Or(l.VectorEvery, 500*time.Millisecond)
	l.ForgetAfter = cmp.Or(l.ForgetAfter, 10*time.Minute)
	return l
}

// Register claims a name for this node. It returns the claim; or nil, and the claim that has the
// name, which may be this node's own.
func (p *Partition) Register(at At, name string, meta []byte) (own, taken *Record) {
	taken = p.Lookup(name)
	if p.shared(name) {
		taken = p.Own(name)
	}
	if taken != nil {
		return nil, taken
	}
	own = &Record{Name: name, Node: p.cfg.Self, Time: p.cfg.Clock.Now(at.Wall), Meta: meta}
	p.write(at, own)
	return own, nil
}

// Update replaces the metadata of the own claim on a name; the timestamp stays, so that the winner
// does too. It returns nil if there is no own claim.
func (p *Partition) Update(at At, name string, meta []byte) *Record {
	was := p.Own(name)
	if was == nil {
		return nil
	}
	p.write(at, &Record{Name: name, Node: p.cfg.Self, Time: was.Time, Meta: meta})
	return p.Own(name)
}

// Unregister withdraws the own claim on a name and reports whether there was one.
func (p *Partition) Unregister(at At, name string, why Why) bool {
	was := p.Own(name)
	if was == nil {
		return false
	}
	p.write(at, &Record{Name: name, Node: p.cfg.Self, Time: was.Time, Dead: true, Why: why})
	return true
}

// Take returns the effects of all inputs since the last Take.
func (p *Partition) Take() Output {
	out := p.out
	p.out = Output{}
	return out
}

// Lookup returns the visible winner of a name, nil for none.
func (p *Partition) Lookup(name string) *Record {
	if r := p.sole[name]; r != nil && p.sees(r) {
		return r
	}
	if c := p.contests[name]; c != nil {
		return c.winner
	}
	return nil
}

// Claims returns the visible claims on a name, in the order of node names.
func (p *Partition) Claims(name string) []*Record {
	if r := p.sole[name]; r != nil && p.sees(r) {
		return []*Record{r}
	}
	if c := p.contests[name]; c != nil {
		return slices.DeleteFunc(slices.Clone(c.claims), func(r *Record) bool { return !p.sees(r) })
	}
	return nil
}

// Own returns this node's claim on a name, nil for none.
func (p *Partition) Own(name string) *Record { return p.claim(name, p.cfg.Self) }

// OwnNames calls f with each of this node's claims, the latest written last, until f returns false.
// f must not change the partition.
func (p *Partition) OwnNames(f func(*Record) bool) {
	for r := range p.living(p.own) {
		if !f(r) {
			return
		}
	}
}

// Len returns the number of names with a visible winner.
func (p *Partition) Len() int { return p.live }

// Synced reports whether this replica shows the claims of all nodes that are up, and lacks nothing
// that it knows of. While names change all the time it is nearly always false.
func (p *Partition) Synced() bool {
	for _, node := range p.peers {
		if t := p.tables[node]; !t.visible || !t.caught || !t.exact() || t.want > t.seq {
			return false
		}
	}
	return true
}

// CaughtUp reports whether this replica, for each node that is up, has reached the watermark of the
// first vector that spoke for the node, and shows the node's claims. Until then a name that is not
// found may have a holder.
func (p *Partition) CaughtUp() bool { return p.behind == 0 }

// Behind returns how many nodes this replica has not caught up with, and the name of one.
func (p *Partition) Behind() (nodes int, one string) { return p.behind, p.laggard }

// countBehind counts the nodes that this replica has not caught up with.
func (p *Partition) countBehind() {
	p.behind, p.laggard = 0, ""
	for _, node := range p.peers {
		if t := p.tables[node]; !t.caught || !t.visible {
			p.behind++
			p.laggard = node
		}
	}
}

// Stats returns the counts.
func (p *Partition) Stats() Stats {
	s := p.stats
	for _, t := range p.tables {
		s.Tombstones += len(t.tombs)
		s.Buffered += len(t.buffer)
		s.Log += len(t.log)
	}
	s.Contested = len(p.contests)
	return s
}

func (p *Partition) shared(name string) bool { return p.cfg.Shared != nil && p.cfg.Shared(name) }

func (p *Partition) sees(r *Record) bool { return p.tables[r.Node].visible }

func (p *Partition) event(e Event) { p.out.Events = append(p.out.Events, e) }

func (p *Partition) send(to string, m Message) {
	p.stats.Sent[m.Kind()]++
	p.out.Send = append(p.out.Send, Envelope{To: to, Message: m})
}
