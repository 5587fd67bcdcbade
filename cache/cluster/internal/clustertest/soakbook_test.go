package clustertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A ledger records what the soak did and what callers got, and finds what is wrong with that.
type ledger struct {
	tb testing.TB
	c  *testCluster

	mu       sync.Mutex // guards all below
	faults   map[string]int
	classes  map[string]int
	wrong    int
	pending  []seen
	checked  int
	deletes  map[string][]deletion // by key; "": all keys
	removals map[string]int
	pauses   []span // of nodes
	slowness []span // of the origin
	ending   map[*process]bool
	current  map[string]int // the incarnation of each node
	slowest  time.Duration
	oldest   time.Duration
}

// seen is a value that a caller got.
type seen struct {
	node          string
	incarnation   int
	key           string
	version       uint64
	issued, begin int64
	loaded        int64
}

// A deletion of a key, or of all.
type deletion struct {
	begin, end  int64
	op          string
	by          string
	incarnation int
	nodes       map[string]int // the incarnations that confirmed it; nil if not all did
}

// A span of time, in nanoseconds of the wall clock.
type span struct {
	from, to int64 // to 0: it lasts
	node     string
	delay    time.Duration
}

func (s *span) meets(from, to int64) bool { return s.from <= to && (s.to == 0 || s.to >= from) }

func newLedger(tb testing.TB, c *testCluster) *ledger {
	tb.Helper()
	b := &ledger{
		tb: tb, c: c, faults: make(map[string]int), classes: make(map[string]int),
		removals: make(map[string]int),
		deletes:  make(map[string][]deletion), ending: make(map[*process]bool),
		current: make(map[string]int),
	}
	return b
}

func (b *ledger) fault(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults[name]++
}

// closing notes that a process is about to end, so its callers may get that error.
func (b *ledger) closing(p *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ending[p] = true
}

func (b *ledger) mayEnd(p *process) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ending[p]
}

// settling is how long an origin or a node that was slow may have an effect afterwards.
const settling = 2 * time.Second

func (b *ledger) begin(list *[]span, s span) (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.from = time.Now().UnixNano()
	at := len(*list)
	*list = append(*list, s)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		(*list)[at].to = time.Now().Add(settling).UnixNano()
	}
}

// paused notes that a node is stopped, until end.
func (b *ledger) paused(node string) (end func()) { return b.begin(&b.pauses, span{node: node}) }

// slow notes that loads take longer, until end.
func (b *ledger) slow(d time.Duration) (end func()) { return b.begin(&b.slowness, span{delay: d}) }

// bad reports a mistake, up to a number of them. mu is held.
func (b *ledger) bad(format string, args ...any) {
	const most = 20
	b.wrong++
	if b.wrong <= most {
		b.tb.Errorf("at %s: %s", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
	}
}

// got notes what a caller with a deadline got.
func (b *ledger) got(p *process, r *result, limit time.Duration) {
	text := b.c.origin.check(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	if text != "" {
		b.bad("%s", text)
	}
	b.classes[r.Class]++
	switch r.Class {
	case "":
		b.pending = append(b.pending, seen{r.Node, r.Incarnation, r.Key, r.Version, r.Issued, r.Begin, r.Loaded})
	case "overloaded":
	case "closed":
		if !b.ending[p] {
			b.bad("%s says that it is closed: %s", r.Node, r.Error)
		}
	case "deadline":
		// The deadline is that of the command, which begins earlier: long before, if the node was
		// stopped in between.
		if r.took() < limit/2 && !b.pausedIn(r.Node, r.Begin-int64(limit), r.End) {
			b.bad("a caller on %s got %q after %v, with a deadline of %v", r.Node, r.Error, r.took(), limit)
		}
	default:
		if !strings.Contains(r.Error, originFails) && !b.ending[p] {
			b.bad("a caller on %s got a %s error of no origin: %s", r.Node, r.Class, r.Error)
		}
	}
	b.inTime(r, limit)
}

// inTime checks that a caller did not wait too long. mu is held.
func (b *ledger) inTime(r *result, limit time.Duration) {
	bound := 2*b.c.base.PeerTimeout + soakSlack
	took := r.took()
	if took <= bound && took <= limit+soakSlack {
		return
	}
	if b.pausedIn(r.Node, r.Begin, r.End) {
		return // it could not say anything
	}
	var delay time.Duration
	for i := range b.slowness {
		if s := &b.slowness[i]; s.meets(r.Begin, r.End) {
			delay = max(delay, s.delay)
		}
	}
	bound = min(bound+2*delay, limit+soakSlack) // the owner's load may be in vain
	b.slowest = max(b.slowest, took)
	if took > bound {
		b.bad("a caller on %s of %q waited %v, longer than %v, and got %q", r.Node, r.Key, took, bound,
			r.Error)
	}
}

// pausedIn reports whether a node was stopped during some of a time. mu is held.
func (b *ledger) pausedIn(node string, from, to int64) bool {
	for i := range b.pauses {
		if s := &b.pauses[i]; s.node == node && s.meets(from, to) {
			return true
		}
	}
	return false
}

// incarnations returns the present incarnation of each node.
func (b *ledger) incarnations() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.current)
}

// started notes a new process.
func (b *ledger) started(p *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current[p.spec.Name] = p.incarnation
}

// removed notes a delete.
func (b *ledger) removed(p *process, op, key string, r *reply, before map[string]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if took := time.Duration(r.End - r.Begin); took > soakDeadline+soakSlack &&
		!b.pausedIn(p.spec.Name, r.Begin, r.End) {
		b.bad("%s took %v to delete %q", p.spec.Name, took, key)
	}
	d := deletion{begin: r.Begin, end: r.End, op: op, by: p.spec.Name, incarnation: p.incarnation}
	switch {
	case r.Error == "":
		d.nodes = map[string]int{p.spec.Name: p.incarnation}
		for _, node := range r.Peers {
			if run, ok := before[node]; ok && run == b.current[node] {
				d.nodes[node] = run
			}
		}
		b.removals["confirmed"]++
	case len(r.Unconfirmed) > 0:
		b.removals["not confirmed by all"]++
	case b.ending[p]:
		return
	default:
		b.bad("%s deletes %q: %s", p.spec.Name, key, r.Error)
		return
	}
	b.deletes[key] = append(b.deletes[key], d)
}

// check looks at the values of callers who came before a time, by when all deletes of that time
// have returned.
func (b *ledger) check(before time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.pending[:0]
	for i := range b.pending {
		s := &b.pending[i]
		if s.begin >= before.UnixNano() {
			kept = append(kept, *s)
			continue
		}
		b.checked++
		b.notExpired(s)
		b.notDeleted(s, s.key)
		b.notDeleted(s, "")
	}
	b.pending = kept
}

// notExpired checks a value's age. mu is held.
func (b *ledger) notExpired(s *seen) {
	const storing = 500 * time.Millisecond // from Load's return, on a busy machine
	age, most := time.Duration(s.begin-s.loaded), soakTTL+storing
	b.oldest = max(b.oldest, age)
	if age <= most {
		return
	}
	for i := range b.pauses {
		if p := &b.pauses[i]; p.meets(s.loaded, s.begin) && p.to > 0 {
			// the value may have been on its way to a node that was stopped
			most += time.Duration(p.to - p.from)
		}
	}
	if age > most {
		b.bad("%s (incarnation %d) gave version %d of %q to a caller who came at %s, %v after it was loaded on "+
			"%s (and issued %v before that): no more than %v is promised",
			s.node, s.incarnation, s.version, s.key, time.Unix(0, s.begin).Format("15:04:05.000"), age,
			b.c.origin.byVersion(s.version), time.Duration(s.loaded-s.issued), most)
	}
}

// notDeleted checks that a value is not from before a delete. mu is held.
func (b *ledger) notDeleted(s *seen, key string) {
	for i := range b.deletes[key] {
		d := &b.deletes[key][i]
		run, member := d.nodes[s.node]
		if member && run == s.incarnation && d.end < s.begin && s.issued < d.begin {
			b.bad("%s (incarnation %d) gave version %d of %q, loaded on %s, issued %v before it was deleted (all "+
				"keys: %t; %s) on %s, "+
				"to a caller who came %v after that was confirmed, at %s",
				s.node, s.incarnation, s.version, s.key, b.c.origin.byVersion(s.version),
				time.Duration(d.begin-s.issued),
				key == "", d.op, d.by, time.Duration(s.begin-d.end),
				time.Unix(0, s.begin).Format("15:04:05.000"))
		}
	}
}

// unique returns the keys that have been deleted.
func (b *ledger) unique() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	keys := map[string]bool{"soak/0": true}
	for key := range b.deletes {
		if key != "" {
			keys[key] = true
		}
	}
	return keys
}

// last checks a value that was fetched after all was healed: it must not be from before any delete
// by a node that still runs.
func (b *ledger) last(r *result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range []string{r.Key, ""} {
		for i := range b.deletes[key] {
			d := &b.deletes[key][i]
			if b.current[d.by] == d.incarnation && r.Error == "" && r.Issued < d.begin {
				b.bad("healed, %s gave version %d of %q, issued %v before its delete on %s (confirmed by "+
					"all: %t)",
					r.Node, r.Version, r.Key, time.Duration(d.begin-r.Issued), d.by, d.nodes != nil)
			}
		}
	}
}

// report logs what was done and seen.
func (b *ledger) report(ownership string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.c.origin.mu.Lock()
	loads := len(b.c.origin.loads)
	b.c.origin.mu.Unlock()
	var list []string
	for _, name := range slices.Sorted(maps.Keys(b.faults)) {
		list = append(list, fmt.Sprintf("%s %d", name, b.faults[name]))
	}
	b.tb.Logf("%d nodes, ownership by %s; faults: %s", len(b.c.nodes), ownership,
		strings.Join(list, ", "))
	list = nil
	total := 0
	for _, class := range slices.Sorted(maps.Keys(b.classes)) {
		total += b.classes[class]
		if class != "" {
			list = append(list, fmt.Sprintf("%s %d", class, b.classes[class]))
		}
	}
	b.tb.Logf("%d fetches, %d values checked, errors: %s", total, b.checked, strings.Join(list, ", "))
	b.tb.Logf("%d loads; deletes: %v; oldest value %v, longest wait beyond the plain bound %v; %d "+
		"violations",
		loads, b.removals, b.oldest.Round(time.Millisecond), b.slowest.Round(time.Millisecond), b.wrong)
}
