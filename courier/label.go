package courier

import (
	"context"
	"fmt"
	"reflect"
	"runtime/pprof"
	"strconv"
	"sync/atomic"

	"github.com/snowfence/snowfence/internal/stacks"
)

// A labelSet holds the pprof labels of a flight's goroutines: the courier's name, and a number that
// no other live flight of the process has. By these a goroutine profile shows where a function
// hangs.
//
// Making labels takes a third of the time of a fetch, so they are made once and used for one
// flight after the other. The labels of the key (WithKeyText), and those of the first caller, are
// added where there are any.
type labelSet struct {
	ctx  context.Context //nolint:containedctx // package pprof has labels in contexts
	id   string
	next *labelSet // in labelSets.free
	// trace is that of the flight: here, since few couriers have a tracer, and flights are kept
	// small. shard.mu guards it.
	trace trace
	base  *labelSet // from which this one was made, with more labels; nil: it can be used again
}

// labelsKept bounds the label sets that a shard keeps while no flight uses them.
const labelsKept = 64

// lastLabel is the number of the label set of the process that was made last.
var lastLabel atomic.Uint64

// labelSets hold the label sets of a shard that no flight uses. The shard's lock guards them.
type labelSets struct {
	free *labelSet
	n    int
}

// take returns a label set for a flight of a courier with that name.
func (l *labelSets) take(name func() string) *labelSet {
	if p := l.free; p != nil {
		l.free, p.next = p.next, nil
		l.n--
		return p
	}
	id := strconv.FormatUint(lastLabel.Add(1), 10)
	return &labelSet{
		ctx: pprof.WithLabels(context.Background(), pprof.Labels("courier", name(), stacks.Label, id)),
		id:  id,
	}
}

// put takes back the label set of a flight whose last goroutine has ended.
func (l *labelSets) put(p *labelSet) {
	if p.base != nil {
		p = p.base
	}
	if l.n < labelsKept {
		l.free, p.next = p, l.free
		l.n++
	}
}

// setLabels labels the flight's goroutine, which inherits the labels of the first caller's.
func (f *flight[K, V]) setLabels() {
	c := f.shard.courier
	if c.cfg.keyText != nil || hasLabels(f.values) {
		f.extendLabels()
	}
	pprof.SetGoroutineLabels(f.labels.ctx)
}

// extendLabels adds the labels of the first caller's context, and that of the key, to f's.
func (f *flight[K, V]) extendLabels() {
	c := f.shard.courier
	base := f.labels
	set := []string{"courier", c.name(), stacks.Label, base.id}
	if c.cfg.keyText != nil && !f.isCarrier() {
		set = append(set, "key", c.keyText(f.key, f.hash))
	}
	extended := &labelSet{
		ctx: pprof.WithLabels(f.values, pprof.Labels(set...)), id: base.id, base: base,
	}
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	extended.trace = base.trace
	f.labels = extended
}

// hasLabels reports whether ctx has labels that a courier has not set.
func hasLabels(ctx context.Context) (has bool) {
	pprof.ForLabels(ctx, func(key, _ string) bool {
		has = key != "courier" && key != stacks.Label && key != "key"
		return !has
	})
	return has
}

// keyText returns the text that stands for key: that of WithKeyText, or else a number: the high
// half of its hash.
func (c *Courier[K, V]) keyText(key K, hash uint32) (text string) {
	text = fmt.Sprintf("#%08x", hash)
	if c.cfg.keyText == nil {
		return text
	}
	defer func() { _ = recover() }() // so that text stays
	return c.cfg.keyText(key)
}

// KeyText returns what Flights, Resting and Slowest show of key, to compare with. It is empty if
// key is not of type K.
func (c *Courier[K, V]) KeyText(key any) string {
	k, ok := key.(K)
	if !ok {
		return ""
	}
	_, hash := c.shardOf(k, equalsItself(k))
	return c.keyText(k, uint32(hash>>32))
}

// name returns the courier's name: WithName, or else the types of its keys and values.
func (c *Courier[K, V]) name() string {
	if c.cfg.name != "" {
		return c.cfg.name
	}
	return fmt.Sprintf("%v to %v", reflect.TypeFor[K](), reflect.TypeFor[V]())
}
