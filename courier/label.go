package courier

import (
	"context"
	"fmt"
	"iter"
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

// extendLabels adds the label of the key, and the labels of the first caller or of the Tracer,
// which sets some for a profiler, to f's. f's goroutine calls it once.
func (f *flight[K, V]) extendLabels() {
	c := f.shard.courier
	base := f.labels
	set := []string{"courier", c.Name(), stacks.Label, base.id}
	if c.cfg.keyText != nil && !f.isCarrier() {
		set = append(set, keyLabel, c.keyText(f.key, f.hash))
	}
	for key, value := range labelsOf(f.values) {
		if key != keyLabel || len(set) == 4 {
			set = append(set, key, value)
		}
	}
	// Not a context derived from f.values: whatever else is in there must not be found in front of
	// what a Tracer has set, and not at all if it is the caller's own end.
	extended := &labelSet{
		ctx: pprof.WithLabels(context.Background(), pprof.Labels(set...)), id: base.id, base: base,
	}
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	extended.trace = base.trace
	f.labels = extended
}

// keyLabel is the pprof label of the key's text.
const keyLabel = "key"

// hasLabels reports whether ctx has labels that a courier has not set.
func hasLabels(ctx context.Context) bool {
	for range labelsOf(ctx) {
		return true
	}
	return false
}

// labelsOf yields the labels of ctx that a courier has not set. In a flight, that of the key is the
// flight's.
func labelsOf(ctx context.Context) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		pprof.ForLabels(ctx, func(key, value string) bool {
			if key == "courier" || key == stacks.Label || key == keyLabel && InFlight(ctx) {
				return true
			}
			return yield(key, value)
		})
	}
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
	if !ok && (key != nil || reflect.TypeFor[K]().Kind() != reflect.Interface) {
		return ""
	}
	_, hash := c.shardOf(k, equalsItself(k))
	return c.keyText(k, uint32(hash>>32))
}

// Name returns the courier's name: that of WithName or, without that, the types of its keys and
// values.
func (c *Courier[K, V]) Name() string {
	if c.cfg.name != "" {
		return c.cfg.name
	}
	return fmt.Sprintf("%v to %v", reflect.TypeFor[K](), reflect.TypeFor[V]())
}
