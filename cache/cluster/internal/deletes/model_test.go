package deletes

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Nodes load, delete, clear, ask each other, lose messages and restart, at random. A failure is logged with its
// seed and shrunk; -rapid.seed plays it again.
func TestModel(t *testing.T) {
	for range 5 { // each of a hundred sequences
		rapid.Check(t, func(t *rapid.T) {
			m := newModel(t)
			t.Repeat(map[string]func(*rapid.T){
				"":        m.check,
				"load":    m.load,
				"fetch":   m.fetch,
				"delete":  m.delete,
				"clear":   m.clear,
				"send":    m.send,
				"receive": m.receive,
				"lose":    m.lose,
				"restart": m.restart,
				"settle":  m.settle,
				"advance": m.advance,
			})
		})
	}
}

// A cluster is a model of nodes whose values are the moments at which they were loaded.
type cluster struct {
	step    int           // real time, as an order
	now     time.Duration // real time, as clocks see it
	ttl     time.Duration // of values; 0: none
	max     int
	runs    int // made so far
	keys    []string
	nodes   []*node
	deletes []deleted
	sent    []letter
	forgets bool // some bound on runs or spans is small
}

type node struct {
	c     *cluster
	log   *Log
	skew  time.Duration
	store map[string]value
	knows map[ID]bool // the deletes that were applied or made here
	peers []Vector    // what is known of the others
	drops int         // resets and applied entries
}

type value struct {
	loaded int
	at     time.Duration
}

type deleted struct {
	Entry
	step int
	at   time.Duration
}

type letter struct {
	from, to int
	data     []byte
}

func newModel(t *rapid.T) *cluster {
	c := &cluster{
		ttl:     rapid.SampledFrom([]time.Duration{0, 0, 10 * time.Second}).Draw(t, "ttl"),
		max:     rapid.SampledFrom([]int{1, 3, 20, 1000}).Draw(t, "max"),
		forgets: rapid.IntRange(0, 3).Draw(t, "forgets") == 0,
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "keys") {
		c.keys = append(c.keys, string(rune('a'+i)))
	}
	n := rapid.IntRange(2, 4).Draw(t, "nodes")
	for i := range n {
		c.nodes = append(c.nodes, &node{c: c, skew: time.Duration(i) * time.Hour, peers: make([]Vector, n)})
		c.nodes[i].start()
	}
	return c
}

func (n *node) start() {
	n.c.runs++
	n.store, n.knows = make(map[string]value), make(map[ID]bool)
	clear(n.peers)
	retain := n.c.ttl
	n.log = New(Options{
		Run:    uint64(n.c.runs),
		Max:    n.c.max,
		Retain: retain,
		Now:    func() time.Duration { return n.c.now + n.skew },
		Reset:  func() { n.drops++; clear(n.store) },
		Apply: func(es []Entry) {
			n.drops++
			for _, e := range es {
				if e.All {
					clear(n.store)
				}
				delete(n.store, e.Key)
			}
		},
	})
	if n.c.forgets {
		n.log.maxRuns, n.log.maxSpans = 4, 2
	}
}

// learn notes which deletes the node has applied.
func (n *node) learn() {
	v := n.log.Vector()
	for _, d := range n.c.deletes {
		if v.Covers(d.ID) {
			n.knows[d.ID] = true
		}
	}
}

func (c *cluster) draw(t *rapid.T, what string) int {
	return rapid.IntRange(0, len(c.nodes)-1).Draw(t, what)
}

func (c *cluster) key(t *rapid.T) string { return rapid.SampledFrom(c.keys).Draw(t, "key") }

// get returns what a node has, or loads it.
func (n *node) get(key string) value {
	v, ok := n.store[key]
	if !ok || n.c.ttl > 0 && n.c.now-v.at >= n.c.ttl {
		n.c.step++
		v = value{n.c.step, n.c.now}
		n.store[key] = v
	}
	return v
}

// fresh fails if a node gets a value that was loaded before a delete that it has applied.
func (n *node) fresh(t *rapid.T, key string, v value, how string) {
	n.learn()
	for _, d := range n.c.deletes {
		if n.knows[d.ID] && (d.All || d.Key == key) && v.loaded < d.step {
			t.Fatalf("%s: run %d got %q loaded at %d, and has applied %+v made at %d",
				how, n.log.o.Run, key, v.loaded, d.ID, d.step)
		}
	}
}

func (c *cluster) load(t *rapid.T) {
	n, key := c.nodes[c.draw(t, "node")], c.key(t)
	n.fresh(t, key, n.get(key), "load")
}

func (c *cluster) fetch(t *rapid.T) {
	i, j, key := c.draw(t, "asker"), c.draw(t, "asked"), c.key(t)
	asker, asked := c.nodes[i], c.nodes[j]
	if i == j {
		return
	}
	after := asker.log.After(key)
	if err := asked.log.Require(key, after); err != nil {
		t.Fatal(err)
	}
	v := asked.get(key)
	asker.fresh(t, key, v, "fetch")
	asker.store[key] = v
}

func (c *cluster) made(n *node, e Entry, at int) {
	c.deletes = append(c.deletes, deleted{e, at, c.now})
	n.learn()
	n.knows[e.ID] = true
}

func (c *cluster) delete(t *rapid.T) {
	n, key := c.nodes[c.draw(t, "node")], c.key(t)
	c.step++
	at := c.step
	id := n.log.Delete(key)
	c.made(n, Entry{ID: id, Key: key}, at)
	if _, ok := n.store[key]; ok {
		t.Fatalf("Delete has returned and %q is there", key)
	}
}

func (c *cluster) clear(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "seldom") > 0 {
		return
	}
	n := c.nodes[c.draw(t, "node")]
	c.step++
	at := c.step
	c.made(n, Entry{ID: n.log.Clear(), All: true}, at)
	if len(n.store) > 0 {
		t.Fatalf("Clear has returned and %v is there", n.store)
	}
}

func (c *cluster) send(t *rapid.T) {
	i, j := c.draw(t, "from"), c.draw(t, "to")
	if i == j {
		return
	}
	known := c.nodes[i].peers[j]
	if rapid.Bool().Draw(t, "blind") {
		known = Vector{}
	}
	data, _ := c.nodes[i].log.Message(known, rapid.SampledFrom([]int{0, 200, 1 << 20}).Draw(t, "size"))
	c.sent = append(c.sent, letter{i, j, data})
}

// receive delivers any letter, and may keep it to deliver it again.
func (c *cluster) receive(t *rapid.T) {
	if len(c.sent) == 0 {
		return
	}
	i := rapid.IntRange(0, len(c.sent)-1).Draw(t, "letter")
	c.deliver(t, c.sent[i])
	if rapid.Bool().Draw(t, "once") {
		c.sent = slices.Delete(c.sent, i, i+1)
	}
}

func (c *cluster) deliver(t *rapid.T, x letter) {
	to := c.nodes[x.to]
	before := to.drops
	theirs, err := to.log.Merge(x.data)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.deletes) == 0 && to.drops > before && !c.forgets {
		t.Fatalf("something was dropped, and nothing deleted")
	}
	to.peers[x.from] = theirs
}

func (c *cluster) lose(t *rapid.T) {
	if len(c.sent) > 0 {
		i := rapid.IntRange(0, len(c.sent)-1).Draw(t, "letter")
		c.sent = slices.Delete(c.sent, i, i+1)
	}
}

func (c *cluster) restart(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "seldom") == 0 {
		c.nodes[c.draw(t, "node")].start()
	}
}

func (c *cluster) advance(t *rapid.T) {
	c.now += time.Duration(rapid.IntRange(1, 4000).Draw(t, "ms")) * time.Millisecond
}

// settle exchanges messages until nobody has anything to say.
func (c *cluster) settle(t *rapid.T) {
	if c.forgets && c.runs > 8 {
		return // more runs than a Log remembers
	}
	size := rapid.SampledFrom([]int{0, 150, 1 << 20}).Draw(t, "size")
	for round := range 200 {
		quiet := true
		for i, from := range c.nodes {
			for j, to := range c.nodes {
				if i == j {
					continue
				}
				data, more := from.log.Message(from.peers[j], size)
				c.deliver(t, letter{i, j, data})
				back, _ := to.log.Message(to.peers[i], size)
				c.deliver(t, letter{j, i, back})
				v, w := from.log.Vector(), from.peers[j]
				quiet = quiet && !more && v.CoversAll(w) && w.CoversAll(v)
			}
		}
		if quiet {
			c.settled(t)
			return
		}
		if round == 199 {
			for i, n := range c.nodes {
				t.Logf("%d: %+v", i, n.log.Vector())
			}
			t.Fatal("messages go on and on")
		}
	}
}

// settled fails unless all nodes have dropped what was loaded before any delete that some node knows.
func (c *cluster) settled(t *rapid.T) {
	known := make(map[ID]bool)
	for _, n := range c.nodes {
		n.learn()
		maps.Copy(known, n.knows)
	}
	for i, n := range c.nodes {
		for j, o := range c.nodes {
			if !n.log.Vector().CoversAll(o.log.Vector()) {
				t.Fatalf("settled, but node %d lacks something of node %d: %+v, %+v",
					i, j, n.log.Vector(), o.log.Vector())
			}
		}
		for _, d := range c.deletes {
			for key, v := range n.store {
				if c.ttl > 0 && c.now-v.at >= c.ttl {
					continue
				}
				if known[d.ID] && (d.All || d.Key == key) && v.loaded < d.step {
					t.Fatalf("settled, but node %d has %q loaded at %d, and %+v was made at %d",
						i, key, v.loaded, d.ID, d.step)
				}
			}
		}
	}
}

// check looks at what a Log has against itself.
func (c *cluster) check(t *rapid.T) {
	c.now += 2 * time.Millisecond
	for _, n := range c.nodes {
		if err := n.log.audit(); err != nil {
			t.Fatal(err)
		}
	}
}

// audit returns an error if parts of a Log that no goroutine uses contradict each other.
func (l *Log) audit() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	listed, inKeys, inRuns, spans := 0, 0, 0, 0
	for x := l.arrival.next; x != &l.arrival; x = x.next {
		listed++
		if x.gone || !slices.Contains(l.keys[x.Key], x) || x.next.prev != x {
			return fmt.Errorf("%+v is listed and not kept", x.Entry)
		}
	}
	for key, xs := range l.keys {
		inKeys += len(xs)
		var ids []byte
		for _, x := range xs {
			ids = appendItem(ids, afterKey, x.ID)
		}
		if !bytes.Equal(l.index.keys[key], ids) || len(xs) == 0 {
			return fmt.Errorf("key %q: %v is shown for %v", key, l.index.keys[key], xs)
		}
	}
	for id, r := range l.runs {
		spans += len(r.ahead)
		inRuns += r.kept
		if r.pending != 0 || r.id != id || len(r.ahead) > 0 && r.ahead[0].first < r.applied+2 {
			return fmt.Errorf("run %d: %+v", id, r)
		}
		if r.clear != nil && (r.floor != 0 || r.clear.ID.Seq > r.applied) {
			return fmt.Errorf("run %d: floor %d, clear %v, applied %d", id, r.floor, r.clear, r.applied)
		}
		last, kept := r.stood(), 0
		for _, x := range r.records {
			if x.ID.Seq <= last && !x.gone {
				return fmt.Errorf("run %d: %d is kept after %d", id, x.ID.Seq, last)
			}
			if !x.gone {
				last = x.ID.Seq
				kept++
			}
			if !x.gone && !r.covers(x.ID.Seq) {
				return fmt.Errorf("run %d: %d is kept and not applied", id, x.ID.Seq)
			}
		}
		if kept != r.kept || len(r.records) > 2*kept+33 {
			return fmt.Errorf("run %d: %d kept, %d counted, %d there", id, kept, r.kept, len(r.records))
		}
		for i := 1; i < len(r.ahead); i++ {
			if r.ahead[i].first < r.ahead[i-1].last+2 || r.ahead[i].last < r.ahead[i].first {
				return fmt.Errorf("run %d: spans %v", id, r.ahead)
			}
		}
	}
	if listed != l.kept || inKeys != l.kept || inRuns != l.kept || l.kept > l.o.Max ||
		len(l.index.keys) != len(l.keys) || l.index.size.Load() != int64(len(l.keys)) {
		return fmt.Errorf("%d listed, %d in keys, %d in runs, %d counted, at most %d; %d keys, %d shown",
			listed, inKeys, inRuns, l.kept, l.o.Max, len(l.keys), len(l.index.keys))
	}
	if spans != l.spans || spans > l.maxSpans || len(l.pending) > 0 || l.tidying {
		return fmt.Errorf("%d spans, %d counted; %d runs; %d pending", spans, l.spans, len(l.runs), len(l.pending))
	}
	return nil
}
