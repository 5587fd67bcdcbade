package stalltest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/snowfence/snowfence/stalltest"
)

var errQuit = errors.New("closed")

// A plain cache does what a cache must, in a simple way and one load at a time per key, but for the
// bugs that it is made with.
type plain struct {
	stalltest.Setup

	bugs []string
	lock chan struct{} // a mutex whose waiters can give up at quit
	quit chan struct{}

	entries map[any]*entry
	flights map[any]*flight
	order   []any
}

type entry struct {
	value string
	at    time.Time
}

type flight struct {
	done    chan struct{}
	value   string
	err     error
	written bool // the key was written meanwhile
}

func (p *plain) has(bug string) bool { return slices.Contains(p.bugs, bug) }

func (p *plain) take() error {
	select {
	case p.lock <- struct{}{}:
		return nil
	case <-p.quit:
		return errQuit
	}
}

func (p *plain) give() { <-p.lock }

// get returns the value of a key, and loads it if it must.
func (p *plain) get(
	ctx context.Context, key any, load func(context.Context) (string, error),
) (string, error) {
	if err := p.take(); err != nil {
		return "", err
	}
	// A key that can't be compared panics here; the lock is given back all the same.
	held := true
	give := func() {
		if held {
			p.give()
		}
		held = false
	}
	if !p.has("a panic keeps the lock") {
		defer give()
	}
	e, f := p.entries[key], p.flights[key]
	age := time.Duration(0)
	if e != nil {
		age = time.Since(e.at)
	}
	fresh := e != nil && (p.TTL == 0 || age < p.TTL)
	due := fresh && p.RefreshAfter > 0 && age >= p.RefreshAfter && !p.has("no refresh")
	if fresh && (!due || f != nil) {
		give()
		return e.value, nil
	}
	if f == nil || p.has("no de-duplication") {
		f = &flight{done: make(chan struct{})}
		p.flights[key] = f
		run := func() { p.run(ctx, key, f, load) }
		switch {
		case p.has("loads do not begin"):
		case p.has("a load keeps the lock"):
			run()
		case p.has("loads in the caller"), due && p.has("refreshes in the caller"):
			give()
			run()
		default:
			go run()
		}
	}
	give()
	if due {
		return e.value, nil
	}
	v, err := p.wait(ctx, f)
	if p.has("values are looked up") && err == nil {
		v = p.look(key)
	}
	if err != nil && e != nil && age < p.TTL+p.StaleFor && !p.has("no stale values") {
		return e.value, nil
	}
	return v, err
}

// look returns the stored value of a key, or "".
func (p *plain) look(key any) string {
	if p.take() != nil {
		return ""
	}
	defer p.give()
	if e := p.entries[key]; e != nil {
		return e.value
	}
	return ""
}

// wait waits for the outcome of a flight.
func (p *plain) wait(ctx context.Context, f *flight) (string, error) {
	ended := ctx.Done()
	if p.has("callers wait for the load") {
		ended = nil
	}
	var patience <-chan time.Time
	if p.StaleFor > 0 {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ended:
		return "", ctx.Err()
	case <-patience:
		return "", context.DeadlineExceeded
	case <-p.quit:
		return "", errQuit
	}
}

// run runs a load and ends its flight.
func (p *plain) run(
	ctx context.Context, key any, f *flight, load func(context.Context) (string, error),
) {
	if !p.has("the first caller's context") {
		ctx = context.WithoutCancel(ctx)
	}
	f.err = errors.New("the load died")
	if p.has("zero values") {
		f.err = nil
	}
	if !p.has("waiters are lost") {
		defer p.end(key, f)
	}
	if !p.has("no recover") {
		defer func() { _ = recover() }()
	}
	f.value, f.err = load(ctx)
	if p.has("values are mixed up") && f.err == nil {
		f.value = "value of a stranger"
	}
	if p.has("waiters are lost") {
		p.end(key, f)
	}
}

// end stores what a flight has brought.
func (p *plain) end(key any, f *flight) {
	defer close(f.done)
	if !p.has("a load keeps the lock") {
		if p.take() != nil {
			return
		}
		defer p.give()
	}
	if p.flights[key] == f && !p.has("a dead load keeps its key") {
		delete(p.flights, key)
	}
	if f.err != nil && p.has("failed loads delete") {
		delete(p.entries, key)
	}
	if f.err == nil && f.value != "" && (!f.written || p.has("loads win over writes")) {
		p.store(key, f.value)
	}
}

// store stores a value and evicts the oldest one if there is no room.
func (p *plain) store(key any, value string) {
	if p.entries[key] == nil {
		p.order = append(p.order, key)
	}
	p.entries[key] = &entry{value, time.Now()}
	if p.Capacity == 0 || len(p.order) <= p.Capacity {
		return
	}
	oldest := p.order[0]
	p.order = p.order[1:]
	gone := p.entries[oldest]
	delete(p.entries, oldest)
	notify := func() {
		defer func() { _ = recover() }()
		p.OnEviction(fmt.Sprint(oldest), gone.value)
	}
	switch {
	case p.has("no callbacks"):
	case p.has("callbacks in the caller"):
		notify()
	default:
		go notify()
	}
}

// write changes the key, and lets no load that began before win.
func (p *plain) write(key string, change func()) {
	if p.take() != nil {
		return
	}
	f := p.flights[key]
	if f != nil && p.has("writes wait for the load") {
		p.give()
		select {
		case <-f.done:
		case <-p.quit:
		}
		if p.take() != nil {
			return
		}
	}
	defer p.give()
	change()
	if f != nil {
		f.written = true
		delete(p.flights, key)
	}
}

// many loads a batch, which is one flight.
func (p *plain) many(ctx context.Context, keys []string) (map[string]string, error) {
	if p.has("batches wait for keys") {
		p.waitFor(keys)
	}
	var values map[string]string
	batch := fmt.Sprint(keys)
	_, err := p.get(ctx, batch, func(ctx context.Context) (string, error) {
		found, err := p.LoadMany(ctx, keys)
		values = found
		if p.has("missing records fail the batch") && len(found) < len(keys) {
			return "", errors.New("a record is missing")
		}
		return "a batch", err
	})
	if err != nil { // the load may still run
		return nil, err
	}
	if values != nil {
		return values, nil
	}
	if p.has("zero values") {
		return nil, nil
	}
	values = make(map[string]string) // a joined batch, whose values this test does not need
	for _, k := range keys {
		values[k] = "value of " + k
	}
	return values, nil
}

// waitFor waits until no key is being loaded.
func (p *plain) waitFor(keys []string) {
	for _, k := range keys {
		if p.take() != nil {
			return
		}
		f := p.flights[k]
		p.give()
		if f == nil {
			continue
		}
		select {
		case <-f.done:
		case <-p.quit:
		}
	}
}

// planted returns a subject with bugs.
func planted(bugs ...string) stalltest.Subject {
	return stalltest.Subject{
		Name: "planted", Refreshes: true, ServesStale: true, Notifies: true,
		New: func(s stalltest.Setup) (stalltest.Cache, error) {
			p := &plain{
				Setup: s, bugs: bugs, lock: make(chan struct{}, 1), quit: make(chan struct{}),
				entries: map[any]*entry{}, flights: map[any]*flight{},
			}
			c := stalltest.Cache{
				Fetch: func(ctx context.Context, key string) (string, error) {
					return p.get(ctx, key, func(ctx context.Context) (string, error) { return s.Load(ctx, key) })
				},
				FetchAny: func(ctx context.Context, key any) (string, error) {
					return p.get(ctx, key, func(ctx context.Context) (string, error) {
						return s.Load(ctx, fmt.Sprint(key))
					})
				},
				FetchMany: p.many,
				Set:       func(k, v string) { p.write(k, func() { p.store(k, v) }) },
				Delete:    func(k string) { p.write(k, func() { delete(p.entries, k) }) },
				Close: func() error {
					close(p.quit)
					return nil
				},
			}
			if p.has("goroutines are not linked") {
				c.Go = func(ctx context.Context, f func(context.Context) error) {
					go func() {
						defer func() { _ = recover() }()
						_ = f(ctx)
					}()
				}
			}
			return c, nil
		},
	}
}
