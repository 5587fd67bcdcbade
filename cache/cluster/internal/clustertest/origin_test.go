package clustertest

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// An origin is the origin of the cache, which records each load.
type origin struct {
	mu      sync.Mutex // guards all below
	version uint64
	loads   []*load
	open    map[loadID]*load
	rules   []rule
	byKey   map[string][]*load
	issued  []*load        // by version - 1
	running map[string]int // by node
	most    map[string]int // the most that ran at a time, by node
}

type loadID struct {
	p  *process
	id uint64
}

// A load is one call of Load on some node.
type load struct {
	id          loadID
	key         string
	node        string
	incarnation int
	began       time.Time
	finished    time.Time // when it was answered, left, or its process ended; zero: it runs
	left        bool      // its context ended before it was answered
	version     uint64    // 0: it got no value
	issued      int64
}

// String describes the load for the messages of failed tests.
func (l load) String() string {
	switch {
	case l.finished.IsZero():
		return fmt.Sprintf("on %s (runs)", l.node)
	case l.left:
		return fmt.Sprintf("on %s (was given up)", l.node)
	}
	return fmt.Sprintf("on %s (version %d)", l.node, l.version)
}

// A rule says how the origin treats the keys of a prefix.
type rule struct {
	prefix string
	treatment
}

// A treatment of a load. The zero treatment is a value at once.
type treatment struct {
	delay time.Duration
	gate  <-chan struct{} // answered when it is closed
	never bool            // not answered at all
	answer
}

func newOrigin() *origin {
	return &origin{
		open: make(map[loadID]*load), byKey: make(map[string][]*load),
		running: make(map[string]int), most: make(map[string]int),
	}
}

// treat sets how keys of a prefix are treated from now on. The last rule that fits counts.
func (o *origin) treat(prefix string, t treatment) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.rules {
		if o.rules[i].prefix == prefix {
			o.rules = append(o.rules[:i], o.rules[i+1:]...)
			break
		}
	}
	o.rules = append(o.rules, rule{prefix, t})
}

// hold makes the loads of a prefix wait until release is called, which may be called more than
// once.
func (o *origin) hold(prefix string) (release func()) {
	gate := make(chan struct{})
	o.treat(prefix, treatment{gate: gate})
	return sync.OnceFunc(func() { close(gate) })
}

// load records a load and answers it.
func (o *origin) load(p *process, q *loading) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := &load{id: loadID{p, q.ID}, key: q.Key, node: p.spec.Name, incarnation: p.incarnation, began: time.Now()}
	o.loads = append(o.loads, l)
	o.open[l.id] = l
	o.byKey[l.key] = append(o.byKey[l.key], l)
	o.running[l.node]++
	o.most[l.node] = max(o.most[l.node], o.running[l.node])
	var t treatment
	for _, r := range o.rules {
		if strings.HasPrefix(l.key, r.prefix) {
			t = r.treatment
		}
	}
	switch {
	case t.never:
	case t.gate != nil:
		go func() {
			select {
			case <-t.gate:
				o.answer(l, t.answer)
			case <-p.gone:
			}
		}()
	case t.delay > 0:
		time.AfterFunc(t.delay, func() { o.answer(l, t.answer) })
	default:
		go o.answer(l, t.answer)
	}
}

// answer answers a load, if it still runs.
func (o *origin) answer(l *load, a answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[l.id] == nil {
		return
	}
	o.end(l)
	a.Load = l.id.id
	if a.Error == "" && a.Panic == "" && !a.Goexit {
		o.version++
		l.version, l.issued = o.version, time.Now().UnixNano()
		a.Version, a.Issued = l.version, l.issued
		o.issued = append(o.issued, l)
	}
	l.id.p.queue.put(&command{Answer: &a})
}

// end notes that a load has ended. mu is held.
func (o *origin) end(l *load) {
	l.finished = time.Now()
	delete(o.open, l.id)
	o.running[l.node]--
}

// left notes that the context of a load has ended.
func (o *origin) left(p *process, id uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.open[loadID{p, id}]; l != nil {
		l.left = true
		o.end(l)
	}
}

// ended notes that a process has ended, and its loads with it.
func (o *origin) ended(p *process) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, l := range o.open {
		if id.p == p {
			o.end(l)
		}
	}
}

// of returns the loads of a key, as they are now.
func (o *origin) of(key string) []load {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []load
	for _, l := range o.byKey[key] {
		list = append(list, *l)
	}
	return list
}

// count returns how many loads the keys have had, all together.
func (o *origin) count(keys ...string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range keys {
		n += len(o.byKey[key])
	}
	return n
}

// mostAt returns the maximum number of loads that ran on a node at a time, and restarts the count.
func (o *origin) mostAt(node string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	most := o.most[node]
	o.most[node] = o.running[node]
	return most
}

// check returns what is wrong with a value, or "".
func (o *origin) check(r *result) string {
	if r.Error != "" {
		return ""
	}
	if r.Wrong != "" {
		return fmt.Sprintf("%s got the value of key %q for key %q", r.Node, r.Wrong, r.Key)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Version == 0 || r.Version > uint64(len(o.issued)) {
		return fmt.Sprintf("%s got version %d of key %q, which was never issued", r.Node, r.Version,
			r.Key)
	}
	if l := o.issued[r.Version-1]; l.key != r.Key || l.issued != r.Issued {
		return fmt.Sprintf("%s got version %d (issued at %d) for key %q, which was issued for key %q "+
			"at %d",
			r.Node, r.Version, r.Issued, r.Key, l.key, l.issued)
	}
	return ""
}

// byVersion returns the node that has loaded a version.
func (o *origin) byVersion(version uint64) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if version == 0 || version > uint64(len(o.issued)) {
		return ""
	}
	return o.issued[version-1].node
}
