package stalltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// The key of most cases, and the values, which identify the source of a caller's value.
const (
	key      = "k"
	oldValue = "old" // of the first load
	newValue = "new" // of every later load
	setValue = "set" // by Set
)

const (
	// patience is the time from the fault until a caller's deadline.
	patience = 2 * time.Second
	// grace is the time past its deadline after which a caller hangs if the process is quiet, too.
	grace = 3 * time.Second
)

var (
	errInjected = errors.New("injected error")
	errWrong    = errors.New("the value of another key")
)

// A loader is a load function of a case; n counts the loads of the key from 1.
type loader func(ctx context.Context, n int) (string, error)

// A trial is one case with one subject.
type trial struct {
	cfg    config
	cache  Cache
	result Result
	word   string // instead of the outcomes, if it is set

	release chan struct{} // closed at the end, for loads that hang
	hasLeft bool          // the case ends the context of a caller
	bare    bool          // callers do not recover from panics

	mu      sync.Mutex
	loads   map[string]int // by key
	loaders map[string]loader
	batches int
	many    func(ctx context.Context, keys []string, n int) (map[string]string, error)
	notify  func(n int) // the callback
	notices int
}

// observe runs the case.
func observe(s Subject, c *Case, cfg config, begins func() error) (r Result, err error) {
	t := &trial{
		cfg:     cfg,
		result:  Result{Subject: s.Name, Case: c.Name, Verdict: Pass, Callers: map[Outcome]int{}},
		release: make(chan struct{}),
		loads:   map[string]int{}, loaders: map[string]loader{},
	}
	setup := c.setup
	setup.Load, setup.LoadMany = t.load, t.loadMany
	if setup.Capacity > 0 {
		setup.OnEviction = t.onEviction
	}
	if t.cache, err = s.New(setup); err != nil {
		return r, fmt.Errorf("stalltest: %s: New: %w", c.Name, err)
	}
	defer func() {
		close(t.release)
		if t.cache.Close != nil {
			err = errors.Join(err, t.cache.Close())
		}
	}()
	if lacks := c.lacks(s, t.cache); lacks != "" {
		t.result.Verdict, t.result.Seen, t.result.Why = None, nothing, "has no "+lacks
		return t.result, nil
	}
	if err := begins(); err != nil {
		return r, err
	}
	if !c.run(t) {
		t.word = "no load"
		t.fail("the load does not begin")
	}
	quiet() // a process that is about to end by a panic ends before there is a result
	return t.summary(), nil
}

// summary completes the result.
func (t *trial) summary() Result {
	r := t.result
	if r.Seen = t.word; r.Seen == "" {
		r.Seen = r.words()
	}
	if r.Next != "" && r.Next != Value && r.Next != Stale {
		r.Seen += dead
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Loads = t.batches
	for _, n := range t.loads {
		r.Loads += n
	}
	return r
}

// fail records why the case fails, unless there is a reason already.
func (t *trial) fail(why string) {
	if t.result.Verdict != Fail {
		t.result.Verdict, t.result.Why = Fail, why
	}
}

// load is the load function of the subject.
func (t *trial) load(ctx context.Context, key string) (string, error) {
	t.mu.Lock()
	t.loads[key]++
	n, f := t.loads[key], t.loaders[key]
	t.mu.Unlock()
	if f == nil {
		return valueOf(key), nil
	}
	return f(ctx, n)
}

// valueOf returns the value of a key that no case is about.
func valueOf(key string) string { return "value of " + key }

// loadMany is the batch load function of the subject.
func (t *trial) loadMany(ctx context.Context, keys []string) (map[string]string, error) {
	keys = slices.Clone(keys)
	t.mu.Lock()
	t.batches++
	n, f := t.batches, t.many
	t.mu.Unlock()
	if f == nil {
		return valuesOf(keys), nil
	}
	return f(ctx, keys, n)
}

func valuesOf(keys []string) map[string]string {
	values := make(map[string]string, len(keys))
	for _, k := range keys {
		values[k] = valueOf(k)
	}
	return values
}

// onEviction is the callback of the subject.
func (t *trial) onEviction(string, string) {
	t.mu.Lock()
	t.notices++
	n, f := t.notices, t.notify
	t.mu.Unlock()
	if f != nil {
		f(n)
	}
}

// loadsOf returns the number of loads of a key.
func (t *trial) loadsOf(key string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.loads[key]
}

// hang waits until the case is over, as a load does that never returns.
func (t *trial) hang() (string, error) {
	<-t.release
	return "", errInjected
}
