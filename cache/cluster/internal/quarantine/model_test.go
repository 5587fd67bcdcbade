package quarantine

import (
	"bytes"
	"container/heap"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The model is a cluster in one goroutine: nodes with a Book each, which fetch keys from owners,
// load them, exchange messages that are late or lost, die and restart. The load of one key, the
// poison, ends its node. The model does what package cluster does around a Book.

var seeds = flag.Int("seeds", 100, "how many worlds the model test runs")

// A bug is a mistake of the model's nodes.
type bug int

const (
	none           bug = iota
	unannounced        // a trial is not confirmed before it begins
	anyTurn            // trials do not wait for their turn
	unwitnessed        // a node that refuses connections raises no suspicion
	overwriting        // merging replaces what is known
	neverForgiving     // a trial that ends well clears nothing
	deafTrier          // a trial goes on although another node has begun one
)

const (
	poison       = "poison"
	modelTimeout = 300 * time.Millisecond
	modelKeys    = 6
	maxEvents    = 300_000 // of a world; messages beget messages beyond
)

type event struct {
	at time.Duration
	n  int
	do func()
}

type events []event //nolint:recvcheck // as heap.Interface wants it

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any) {
	*e = append(*e, x.(event)) //nolint:errcheck,forcetypeassert // of heap
}
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

type world struct {
	rng     *rand.Rand
	bug     bug
	salt    int // decides which node owns which key
	now     time.Duration
	queue   events
	count   int
	nodes   []*node
	poison  bool // loading the poison ends the node
	victims []time.Duration
	loading int            // nodes that load the poison
	beside  bool           // two nodes loaded it at the same time before a death was known
	errors  map[string]int // by key
	values  map[string]int
	falsely string
}

type node struct {
	w       *world
	i       int
	self    Incarnation
	alive   bool
	book    *Book
	view    map[int]Incarnation // the other members
	told    map[Incarnation]uint64
	pending []func() // what happens to requests under way here when the node dies
}

var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *world) clock() time.Time { return epoch.Add(w.now) }

func (w *world) after(d time.Duration, do func()) {
	w.count++
	heap.Push(&w.queue, event{w.now + d, w.count, do})
}

// soon returns a time up to most.
func (w *world) soon(most time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(most))) + 1
}

func (w *world) run(until time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= until && w.count < maxEvents {
		e := heap.Pop(&w.queue).(event) //nolint:errcheck,forcetypeassert // nothing else is in it
		w.now = e.at
		e.do()
	}
	w.now = until
}

func (w *world) start(n *node) {
	n.self, n.alive = Incarnation{fmt.Sprintf("n%d", n.i), w.rng.Uint64()}, true
	n.view, n.told = make(map[int]Incarnation), make(map[Incarnation]uint64)
	n.pending = nil
	self := n.self
	o := Options{Self: self, Quarantine: 30 * time.Second, MaxKey: 100}
	o.Changed = func(key string, v Verdict) {
		if v.State == Quarantined && key != poison && w.falsely == "" {
			w.falsely = fmt.Sprintf("%v quarantines %s at %v: %v", self, key, w.now, v.Deaths)
		}
	}
	n.book = New(o)
	n.book.now = w.clock
	for _, other := range w.nodes {
		if other == n || !other.alive {
			continue
		}
		n.view[other.i], other.view[n.i] = other.self, n.self
		other.book.SetMembers(other.members())
		other.book.Up(self)
		n.exchange(other.self, func(bool) {}) // before it serves: at once
		message, _ := other.book.Message(0, 1<<20)
		_, _ = n.book.Merge(message)
	}
	n.book.SetMembers(n.members())
	for _, other := range n.members() {
		n.book.Up(other)
	}
	w.after(w.soon(50*time.Millisecond), func() { n.tick(self) })
}

// is reports whether n is alive and still the incarnation self.
func (n *node) is(self Incarnation) bool { return n.alive && n.self == self }

// tick exchanges records with all members now and then.
func (n *node) tick(self Incarnation) {
	if !n.is(self) {
		return
	}
	n.wake()
	n.w.after(2*time.Second-n.w.soon(500*time.Millisecond), func() { n.tick(self) })
}

func (n *node) wake() {
	for _, k := range slices.Sorted(maps.Keys(n.view)) {
		to := n.view[k]
		n.w.after(n.w.soon(2*time.Millisecond), func() { n.exchange(to, func(bool) {}) })
	}
}

func (w *world) kill(n *node) {
	n.alive = false
	for _, lost := range n.pending {
		lost()
	}
	n.pending = nil
	for _, other := range w.nodes {
		if other.alive {
			gone, self, at := n.self, other.self, n.i
			w.after(50*time.Millisecond+w.soon(2*time.Second), func() {
				if other.is(self) && other.view[at] == gone {
					delete(other.view, at)
					other.book.SetMembers(other.members())
				}
			})
		}
	}
}

// An outcome says how a request ended.
type outcome int

const (
	answered outcome = iota
	lost             // the node died while it was under way
	refused          // it could not be reached
)

// call sends a request to an incarnation; then is called once.
func (n *node) call(
	to Incarnation, serve func(other *node, answer func(x any)), then func(x any, o outcome),
) {
	self := n.self
	reply := func(x any, o outcome) {
		if n.is(self) {
			then(x, o)
		}
	}
	n.w.after(n.w.soon(time.Millisecond), func() {
		var other *node
		for _, x := range n.w.nodes {
			if x.is(to) {
				other = x
			}
		}
		if other == nil {
			reply(nil, refused)
			return
		}
		done := false
		other.pending = append(other.pending, func() {
			if !done {
				done = true
				reply(nil, lost)
			}
		})
		serve(other, func(x any) {
			n.w.after(n.w.soon(time.Millisecond), func() {
				if !done && other.is(to) {
					done = true
					reply(x, answered)
				}
			})
		})
	})
}

// exchange exchanges records with another node.
func (n *node) exchange(to Incarnation, then func(ok bool)) {
	message, upTo := n.book.Message(n.told[to], 200)
	if n.w.rng.IntN(20) == 0 { // lost
		self := n.self
		n.w.after(modelTimeout, func() {
			if n.is(self) {
				then(false)
			}
		})
		return
	}
	from := n.self
	n.call(to, func(other *node, answer func(any)) {
		before := other.book.seq
		other.merge(message)
		back, _ := other.book.Message(other.told[from], 1<<20)
		if other.book.seq != before {
			other.wake()
		}
		answer(back)
	}, func(x any, o outcome) {
		if o != answered {
			then(false)
			return
		}
		n.told[to] = max(n.told[to], upTo)
		n.book.Up(to)
		before := n.book.seq
		n.merge(x.([]byte)) //nolint:errcheck,forcetypeassert // as sent
		if n.book.seq != before {
			n.wake()
		}
		then(true)
	})
}

func (n *node) merge(message []byte) {
	if n.w.bug == overwriting {
		for d := json.NewDecoder(bytes.NewReader(message)); d.More(); {
			var r wireRecord
			_ = d.Decode(&r)
			if own := n.book.records[string(r.Key)]; own != nil && !own.trying {
				delete(n.book.records, own.key)
			}
		}
	}
	if _, err := n.book.Merge(message); err != nil {
		panic(err)
	}
}

// members returns those that n sees, in the order of their numbers.
func (n *node) members() (list []Incarnation) {
	for _, k := range slices.Sorted(maps.Keys(n.view)) {
		list = append(list, n.view[k])
	}
	return list
}

// owner returns the member that owns key. It moves when a member is gone.
func (n *node) owner(key string) Incarnation {
	list := append(n.members(), n.self)
	slices.SortFunc(list, compare)
	sum := n.w.salt
	for _, c := range []byte(key) {
		sum = 31*sum + int(c)
	}
	return list[sum%len(list)]
}

// fetch runs a caller on n, for two seconds.
func (n *node) fetch(key string, until time.Duration) {
	w, self := n.w, n.self
	again := func() {
		w.after(5*time.Millisecond+w.soon(5*time.Millisecond), func() {
			if n.is(self) {
				n.fetch(key, until)
			}
		})
	}
	got := func() { w.values[key]++ }
	if w.now > until {
		w.errors[key]++
		return
	}
	v := n.book.Check(key)
	if v.State == Quarantined {
		w.errors[key]++
		return
	}
	if v.State == Clear {
		owner := n.owner(key)
		if owner == n.self {
			n.load(key, got)
			return
		}
		n.call(owner, func(other *node, answer func(any)) {
			if other.book.Check(key).State != Clear {
				answer(other.book.Record(key))
				return
			}
			other.load(key, func() { answer(nil) })
		}, func(x any, o outcome) {
			switch {
			case o == lost:
				n.book.Lost(key, owner)
				n.wake()
				again()
			case o == refused && w.bug == unwitnessed:
				n.load(key, got)
			case o == refused:
				n.book.Refused(key, owner)
				n.wake()
				again()
			case x != nil:
				record, _ := x.([]byte)
				if len(record) > 0 {
					n.merge(record)
				}
				again()
			default:
				got()
			}
		})
		return
	}
	trier := v.Trier
	if trier == n.self {
		n.try(key, func(ok bool) {
			if !ok {
				again()
				return
			}
			got()
		})
		return
	}
	if w.rng.IntN(8) == 0 { // views differ: n does not reach the trier
		n.book.Down(trier)
		again()
		return
	}
	record := n.book.Record(key)
	n.call(trier, func(other *node, answer func(any)) {
		other.merge(record)
		other.try(key, func(ok bool) { answer(ok) })
	}, func(x any, o outcome) {
		switch {
		case o == lost, o == refused:
			n.book.Gone(trier, o == refused)
			n.wake()
		case x == true:
			got()
			return
		}
		again()
	})
}

// confirm exchanges with all members that are not done yet, and waits for those that answer.
func (n *node) confirm(done func(Incarnation) bool, then func()) {
	left := 1
	one := func(bool) {
		left--
		if left == 0 {
			then()
		}
	}
	for _, to := range n.members() {
		if !done(to) && !n.book.Dead(to) {
			left++
			n.exchange(to, one)
		}
	}
	one(true)
}

// try tries a key if it is its turn. ok is false if the caller has to look again.
func (n *node) try(key string, end func(ok bool)) {
	if n.book.Check(key).State == Clear {
		n.load(key, func() { end(true) })
		return
	}
	if n.w.bug == anyTurn {
		n.book.survivedTrials = 1000
	}
	seq, ok := n.book.Begin(key)
	if !ok {
		end(false)
		return
	}
	ready := func() {
		if !n.book.Ready(key) && n.w.bug != deafTrier {
			end(false)
			return
		}
		n.load(key, func() {
			n.book.End(n.w.bug != neverForgiving, key)
			n.wake()
			end(true)
		})
	}
	if n.w.bug == unannounced {
		ready()
		return
	}
	var round func(k int)
	round = func(k int) { // records that find no room go with the next message
		n.confirm(func(to Incarnation) bool { return n.told[to] >= seq }, func() {
			for _, to := range n.members() {
				if n.told[to] < seq && !n.book.Dead(to) && k < 8 {
					round(k + 1)
					return
				}
			}
			ready()
		})
	}
	round(0)
}

// load loads key, which takes a while. The load of the poison ends the node.
func (n *node) load(key string, then func()) {
	w, self := n.w, n.self
	deadly := key == poison
	if deadly && w.poison {
		w.loading++
		if w.loading > 1 && len(w.victims) == 0 {
			w.beside = true
		}
	}
	w.after(w.soon(20*time.Millisecond), func() {
		if deadly && w.poison {
			w.loading--
		}
		if !n.is(self) {
			return
		}
		if deadly && w.poison {
			w.victims = append(w.victims, w.now)
			w.kill(n)
			return
		}
		then()
	})
}

// runWorld runs one world, and returns what went wrong, or "".
func runWorld(seed uint64, b bug) (failure string) {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 0)), bug: b, poison: true, //nolint:gosec // no secret
		errors: make(map[string]int), values: make(map[string]int),
	}
	w.salt = w.rng.IntN(5)
	for i := range 5 {
		w.nodes = append(w.nodes, &node{w: w, i: i})
	}
	for _, n := range w.nodes {
		w.start(n)
	}
	w.run(time.Second)
	const calm, on = 9 * time.Second, 5 * time.Second
	restarts := w.rng.IntN(2) == 0
	// The poison is in demand from its first load on, so that its death has witnesses.
	burst := func(key string) {
		for _, n := range w.nodes {
			if n.alive {
				n.fetch(key, w.now+8*time.Second)
			}
		}
	}
	burst(poison)
	for i := range modelKeys {
		burst(fmt.Sprint("key", i))
	}
	for at := time.Millisecond; at < on; at += w.soon(40 * time.Millisecond) {
		w.after(at, func() {
			n := w.nodes[w.rng.IntN(len(w.nodes))]
			if !n.alive {
				if restarts && w.rng.IntN(20) == 0 {
					w.start(n)
				}
				return
			}
			key := poison
			if w.rng.IntN(3) > 0 {
				key = fmt.Sprint("key", w.rng.IntN(modelKeys))
			}
			n.fetch(key, w.now+8*time.Second)
		})
	}
	w.run(w.now + on + calm)
	// Two nodes may have died, and more only if two had loaded the poison at the same time before the
	// first death.
	allowed := 2
	if w.beside {
		allowed = 3
	}
	switch {
	case w.count >= maxEvents:
		return "messages beget messages"
	case len(w.victims) > allowed:
		return fmt.Sprintf("%d nodes died: %v", len(w.victims), w.victims)
	case w.falsely != "" && !w.beside:
		return w.falsely
	}
	for key, n := range w.errors {
		if key != poison {
			return fmt.Sprintf("%d callers of %s got no value", n, key)
		}
	}
	// The key works again: after the quarantine a node tries it, and it is clear.
	w.poison = false
	w.values[poison] = 0
	w.run(w.now + time.Minute)
	burst(poison)
	w.run(w.now + 10*time.Second)
	if w.values[poison] == 0 {
		return "the poison is not served although it is harmless"
	}
	var first *node
	for _, n := range w.nodes {
		if !n.alive {
			continue
		}
		if s := n.book.Stats(); s.Suspects+s.Quarantined > 0 {
			return fmt.Sprintf("%v still holds %+v", n.self, s)
		}
		if first == nil {
			first = n
		}
		for key, r := range n.book.records {
			if other := first.book.records[key]; other == nil || !maps.Equal(other.marks, r.marks) {
				return fmt.Sprintf("%v and %v differ on %s: %v", first.self, n.self, key, r.marks)
			}
		}
	}
	return ""
}

// TestModel runs worlds of a random seed on, and checks that the poison ends two nodes at most,
// that no other key is quarantined or fails, and that all books agree in the end.
func TestModel(t *testing.T) {
	t.Parallel()
	first := rand.Uint64() >> 1
	n := *seeds
	if testing.Short() {
		n /= 8
	}
	t.Logf("the first seed is %d", first)
	for seed := first; seed < first+uint64(n); seed++ { //nolint:gosec // not negative
		require.Empty(t, runWorld(seed, none), "seed %d", seed)
	}
}

// foundBy has the seeds of worlds that find the planted bugs, so that they need not be searched
// for.
var foundBy = map[bug]uint64{
	unannounced: 0, anyTurn: 24, unwitnessed: 4, overwriting: 0, neverForgiving: 0, deafTrier: 61,
}

// TestModelFindsBugs plants each bug, which its world must find.
func TestModelFindsBugs(t *testing.T) {
	t.Parallel()
	for b := unannounced; b <= deafTrier; b++ {
		seed := foundBy[b]
		found := runWorld(seed, b)
		for next := uint64(0); next < 400 && found == ""; next++ {
			seed = next
			found = runWorld(seed, b)
		}
		require.NotEmpty(t, found, "bug %d", b)
		t.Logf("bug %d: seed %d: %s", b, seed, found)
	}
}
