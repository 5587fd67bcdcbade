package deletes

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A world has nodes that load, delete, ask each other and exchange messages over a network that
// splits and loses messages. A value is the set of the deletes that had been made when it was
// loaded, so no clock is needed to say whether it is older than a delete.
type world struct {
	nodes    []*node
	keys     []string
	cut      int // the node that is cut off, counted from 1; 0 if none is
	made     []madeDelete
	flying   []letter
	next     uint64 // incarnation
	limits   func(*Book)
	size     int // of messages
	meddles  meddling
	trace    []string
	failures []string
}

// A meddling says what happens in the middle of Apply.
type meddling int

const (
	othersLook meddling = iota + 1 // before it has dropped anything, others take a message and ask
	itAsks                         // after it has dropped everything, it asks others
)

// A node is one incarnation. Its name is its index.
type node struct {
	w     *world
	name  int
	book  *Book
	store map[string]value
	known bits
	reset bits              // the deletes that had been made when it dropped everything
	view  map[string]uint64 // what membership shows it
	busy  bool              // in the middle of meddling
}

type bits uint64

type value struct {
	after bits // the deletes that had been made when it was loaded
	tag   string
}

type madeDelete struct {
	mark
	Delete
}

// hits reports whether the delete is of such a value.
func (d Delete) hits(key string, v value) bool {
	switch d.Kind {
	case Key:
		return d.Key == key
	case Tag:
		return d.Key == v.tag
	}
	return true
}

type letter struct {
	from, to uint64
	answer   bool
	data     string
}

func newWorld(nodes int, keys []string, limits func(*Book)) *world {
	w := &world{keys: keys, limits: limits, size: 1 << 20, nodes: make([]*node, nodes)}
	for i := range w.nodes {
		w.nodes[i] = w.start(i)
		w.see(i)
	}
	for i := range w.nodes {
		w.see(i)
	}
	for i := range w.nodes {
		for j := range w.nodes {
			if i != j {
				w.exchange(i, j)
			}
		}
	}
	return w
}

func (w *world) start(i int) *node {
	w.next++
	n := &node{w: w, name: i, store: make(map[string]value), view: make(map[string]uint64)}
	n.book = New(n.options(w.next))
	if w.limits != nil {
		w.limits(n.book)
	}
	return n
}

func (n *node) options(self uint64) Options {
	return Options{Self: self, Max: 64 << 10, Apply: n.apply, Reset: n.dropAll}
}

func (n *node) incarnation() uint64 { return n.book.o.Self }

// apply drops what is deleted. Meanwhile other nodes look.
func (n *node) apply(list []Delete) {
	n.meddle(othersLook, func(o *node) { // what is not dropped yet must not count as applied
		if data := n.book.Message(o.incarnation(), n.w.size); o.book.applying.TryLock() {
			o.book.applying.Unlock()
			_, _ = o.book.Merge(n.incarnation(), data)
			n.w.learn(o)
			n.w.ask(o, n, n.w.keys[0])
		}
	})
	for _, d := range list {
		maps.DeleteFunc(n.store, d.hits)
		clears := func(m madeDelete) bool { return m.Kind == All }
		if d.Kind == All && !slices.ContainsFunc(n.w.made, clears) {
			n.w.fail("Made: %d applies a clear that no node has made", n.name)
		}
	}
	// A request from now on carries the delete.
	n.meddle(itAsks, func(o *node) { n.w.ask(n, o, n.w.keys[0]) })
}

func (n *node) meddle(when meddling, f func(other *node)) {
	if n.w.meddles != when || n.busy {
		return
	}
	n.busy = true
	defer func() { n.busy = false }()
	for _, o := range n.w.nodes {
		if o != n && o != nil && !o.busy && n.w.linked(n, o) {
			f(o)
		}
	}
}

func (n *node) dropAll() bool {
	some := len(n.store) > 0
	n.reset = 1<<len(n.w.made) - 1
	clear(n.store)
	return some
}

func (w *world) linked(a, b *node) bool {
	return w.cut == 0 || a.name+1 != w.cut && b.name+1 != w.cut
}

func (w *world) logf(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

// reality returns the members that a perfect membership would show a node.
func (w *world) reality(i int) map[string]uint64 {
	view := make(map[string]uint64)
	for j, o := range w.nodes {
		if j != i && o != nil && w.linked(w.nodes[i], o) {
			view[nameOf(j)] = o.incarnation()
		}
	}
	return view
}

func nameOf(i int) string { return strconv.Itoa(i) }

func (w *world) see(i int) {
	n := w.nodes[i]
	n.view = w.reality(i)
	n.book.See(n.view)
}

// sees reports whether membership shows o to n.
func (n *node) sees(o *node) bool { return n.view[nameOf(o.name)] == o.incarnation() }

// learn notes which deletes a node knows, for good.
func (w *world) learn(n *node) {
	for i, d := range w.made {
		if n.book.origin(d.origin).applied >= d.seq {
			n.known |= 1 << i
		}
	}
}

// check fails if a node has a value from before a delete that it knows, or believes that another
// one has applied a delete that it has not.
func (w *world) check() {
	for _, n := range w.nodes {
		w.learn(n)
	}
	for _, n := range w.nodes {
		for key, v := range n.store {
			w.fresh(n, key, v, "has")
		}
		for _, o := range w.nodes {
			for i, d := range w.made {
				if n.believes(o, d.mark) && n.known>>i&1 == 1 && (o.known|o.reset)>>i&1 == 0 {
					w.fail("Honest: %d believes that %d has applied %v", n.name, o.name, d)
				}
			}
		}
	}
}

// believes reports whether n, if it knows a delete, believes that another node has applied it.
func (n *node) believes(o *node, d mark) bool {
	acked := n.book.peer(o.incarnation()).acked
	says := func(e entry) bool {
		return e.mark == d || e.Kind == missed && e.origin == d.origin && e.seq >= d.seq
	}
	return acked >= n.book.base && !slices.ContainsFunc(n.book.entries[acked-n.book.base:], says)
}

func (w *world) fresh(n *node, key string, v value, how string) {
	for i, d := range w.made {
		if n.known>>i&1 == 1 && v.after>>i&1 == 0 && d.hits(key, v) {
			w.fail("Fresh: %d %s %q from before %v, which it knows", n.name, how, key, d)
		}
	}
}

// get returns what a node has, or loads it.
func (w *world) get(n *node, key string) value {
	v, ok := n.store[key]
	if !ok {
		v = value{after: 1<<len(w.made) - 1, tag: w.keys[len(key)%len(w.keys)]}
		n.store[key] = v
	}
	return v
}

// ask gets a value from another node.
func (w *world) ask(n, o *node, key string) {
	after := n.book.After(o.incarnation(), key)
	known, busy := n.known, o.busy
	o.busy = true // it loads its answer, and does not ask for it
	defer func() { o.busy = busy }()
	if _, err := o.book.Require(key, after); err != nil {
		w.fail("Sense: %d refused %x of %d: %v", o.name, after, n.name, err)
	}
	v := w.get(o, key)
	n.known = known // what it knew when it asked
	w.fresh(n, key, v, "got")
	n.store[key] = v
}

func (w *world) delete(i int, d Delete) {
	n := w.nodes[i]
	seq := n.book.origin(n.incarnation()).applied + 1
	w.made = append(w.made, madeDelete{mark{n.incarnation(), seq}, d})
	n.known |= 1 << (len(w.made) - 1)
	switch d.Kind {
	case Key:
		n.book.Delete(d.Key)
	case Tag:
		n.book.InvalidateTag(d.Key)
	case All:
		n.book.Clear()
	}
}

func (w *world) send(i, j int) {
	from, to := w.nodes[i].incarnation(), w.nodes[j].incarnation()
	w.flying = append(w.flying, letter{from, to, false, string(w.nodes[i].book.Message(to, w.size))})
}

func (w *world) node(incarnation uint64) *node {
	for _, n := range w.nodes {
		if n.incarnation() == incarnation {
			return n
		}
	}
	return nil
}

// deliver delivers a letter, and sends the answer to one that is none. It is lost if its receiver
// can't be reached.
func (w *world) deliver(x letter) {
	from, to := w.node(x.from), w.node(x.to)
	if to == nil || from == nil || !w.linked(from, to) {
		return
	}
	if x.answer {
		if _, err := to.book.Merge(x.from, []byte(x.data)); err != nil {
			w.fail("Sense: %d refused an answer of %d: %v", to.name, from.name, err)
		}
		return
	}
	answer, err := to.book.Answer(nameOf(from.name), []byte(x.data), w.size)
	if err != nil {
		w.fail("Sense: %d refused a message of %d: %v", to.name, from.name, err)
	}
	w.flying = append(w.flying, letter{x.to, x.from, true, string(answer)})
}

// exchange runs a whole exchange between two nodes at once, without loss.
func (w *world) exchange(i, j int) {
	for range 100 {
		from, to := w.nodes[i], w.nodes[j]
		answer, err := to.book.Answer(nameOf(i), from.book.Message(to.incarnation(), w.size), w.size)
		if err != nil {
			w.fail("Sense: %d refused a message of %d: %v", j, i, err)
			return
		}
		w.learn(to)
		more, err := from.book.Merge(to.incarnation(), answer)
		if err != nil {
			w.fail("Sense: %d refused an answer of %d: %v", i, j, err)
			return
		}
		w.learn(from)
		if !more {
			return
		}
	}
	w.fail("Ends: %d and %d exchange messages without end", i, j)
}

// restart replaces a node by a new incarnation. If greets, it exchanges messages before it begins.
func (w *world) restart(i int, greets bool) {
	w.nodes[i] = w.start(i)
	w.see(i)
	for j, o := range w.nodes {
		if greets && j != i && w.linked(w.nodes[i], o) {
			w.exchange(i, j)
		}
	}
}

// rest heals the network and exchanges messages until all nodes have all deletes. Then no value may
// be from before a delete that a node knew, and no book may have more than a number of a node that
// has left.
func (w *world) rest() {
	w.cut, w.flying = 0, nil
	var known bits
	for _, n := range w.nodes {
		known |= n.known
	}
	for range 4 {
		for i := range w.nodes {
			w.see(i)
			for j := range w.nodes {
				if i != j {
					w.exchange(i, j)
				}
			}
		}
		w.check()
	}
	for _, n := range w.nodes {
		for key, v := range n.store {
			for i, d := range w.made {
				if known>>i&1 == 1 && v.after>>i&1 == 0 && d.hits(key, v) {
					w.fail("AllHaveAll: at rest %d has %q from before %v", n.name, key, d)
				}
			}
		}
		for _, o := range w.nodes {
			if o != n && n.book.Lacks(o.incarnation()) {
				w.fail("AllHaveAll: at rest %d believes that %d lacks something", n.name, o.name)
			}
			if after := n.book.After(o.incarnation(), w.keys[0]); o != n && after != nil {
				w.fail("CostsNothing: at rest %d asks %d with %x", n.name, o.name, after)
			}
		}
		for incarnation, o := range n.book.origins {
			if w.node(incarnation) == nil && o.handed < o.applied {
				w.fail("Bounded: at rest %d has deletes of %d, which has left", n.name, incarnation)
			}
		}
	}
}

// clears returns how often a node has cleared itself.
func (w *world) clears() (n uint64) {
	for _, x := range w.nodes {
		n += x.book.stats.Resets
	}
	return n
}

func (w *world) clone() *world {
	c := *w
	c.nodes = make([]*node, len(w.nodes))
	c.made, c.flying = slices.Clip(w.made), slices.Clone(w.flying)
	c.trace = slices.Clip(w.trace)
	for i, n := range w.nodes {
		m := &node{w: &c, name: n.name, store: maps.Clone(n.store), known: n.known, view: n.view}
		m.reset = n.reset
		m.book = n.book.clone(m.options(n.incarnation()))
		c.nodes[i] = m
	}
	return &c
}

func (b *Book) clone(o Options) *Book {
	o.Max = b.o.Max
	c := New(o)
	c.maxSpare, c.maxAbsent, c.maxHandedOver = b.maxSpare, b.maxAbsent, b.maxHandedOver
	c.entries, c.base, c.applied = slices.Clone(b.entries), b.base, b.applied
	c.latest, c.latestForAll = maps.Clone(b.latest), b.latestForAll
	c.handedOver, c.absentees, c.stats = slices.Clone(b.handedOver), b.absentees, b.stats
	for incarnation, x := range b.origins {
		y := *x
		c.origins[incarnation] = &y
	}
	for incarnation, x := range b.peers {
		y := *x
		c.peers[incarnation] = &y
	}
	return c
}

func truth(is bool) uint64 {
	if is {
		return 1
	}
	return 0
}

// append appends the state of the world, without what is part of the state of the search.
func (w *world) append(b []byte) []byte {
	number := func(list ...uint64) {
		for _, n := range list {
			b = binary.AppendUvarint(b, n)
		}
	}
	number(uint64(w.cut), w.next, uint64(len(w.made)))
	for _, n := range w.nodes {
		number(n.incarnation(), uint64(n.known), uint64(n.reset), uint64(len(n.store)))
		for _, key := range slices.Sorted(maps.Keys(n.store)) {
			b = append(b, key...)
			number(uint64(n.store[key].after))
		}
		for _, node := range slices.Sorted(maps.Keys(n.view)) {
			b = append(b, node...)
			number(n.view[node])
		}
		k := n.book
		number(k.base, k.applied, uint64(len(k.entries)), uint64(len(k.origins)), uint64(len(k.peers)))
		for _, e := range k.entries {
			number(e.origin, e.seq, uint64(e.Kind))
			b = append(b, e.Key...)
		}
		for _, incarnation := range slices.Sorted(maps.Keys(k.origins)) {
			o := k.origins[incarnation]
			number(incarnation, o.applied, o.handed, o.forgotten)
		}
		for _, incarnation := range slices.Sorted(maps.Keys(k.peers)) {
			p := k.peers[incarnation]
			number(incarnation, p.absent, truth(p.left), p.acked, p.received)
		}
		number(k.handedOver...)
	}
	letters := make([]string, len(w.flying))
	for i, x := range w.flying {
		letters[i] = fmt.Sprintf("%d>%d%t%s", x.from, x.to, x.answer, x.data)
	}
	slices.Sort(letters)
	return append(b, strings.Join(letters, "|")...)
}
