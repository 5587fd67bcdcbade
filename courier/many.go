package courier

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// An Outcome holds what DoMany returns for a key.
type Outcome[V any] struct {
	Value  V
	Shared bool // it was given to more than one caller
	Err    error
}

// DoMany does what [Courier.Do] does, for many keys, with one call of fetch for those
// without a flight under way. It returns an outcome for each key, in the order of keys.
//
// Each key is a flight of its own: DoMany joins those that are under way, and a later Do
// or DoMany joins those that it starts. fetch gets the keys of the flights that it starts,
// each once, in the order of keys; if there are none, it is not called. It returns an
// outcome for each of them, in the same order; their Shared is ignored. If it returns
// an error instead, or panics, calls runtime.Goexit, hangs or returns another number of
// outcomes, that is the outcome of each of these keys. [Go] links children to all of
// them.
//
// DoMany blocks until all flights have ended or ctx does. If ctx ends first, the keys
// whose flights have ended have their outcomes, and the others the error that Do would
// return. A flight goes on for its other callers, and is cancelled when its last one has
// left. The context of fetch is cancelled when no key has a caller any more. If ctx has
// ended before the call, fetch is not called.
//
// What holds for Do holds for each key: back-off, late flights, patience, the bounds and
// errors of limits. A key that may not be fetched has an error, and fetch is called for
// the others. The function counts once where all functions are counted
// ([WithMaxConcurrent], [WithMaxAbandoned] in all), and once for each of its keys where
// the functions of a key are. The caller counts once towards [WithMaxWaiting], and for
// each key towards [WithMaxWaitingPerKey]. Inside a flight, a key whose flight could only
// ever wait for that one has a *[DeadlockError], and the other keys do not.
//
// With [WithMaxBatch] fetch is called for at most that many keys, and several times at the
// same time for more; each statement above about fetch and its keys holds for each call.
//
// A key that is in keys more than once is fetched once. Of keys that do not equal
// themselves, such as NaN, each is fetched. DoMany does not keep keys; fetch may keep the
// slice that it is given.
func (c *Courier[K, V]) DoMany(
	ctx context.Context, keys []K, fetch func(ctx context.Context, missing []K) ([]Outcome[V], error),
) []Outcome[V] {
	m := &manyCall[K, V]{
		courier: c, ctx: ctx, keys: keys, fetch: fetch, outcomes: make([]Outcome[V], len(keys)),
	}
	switch {
	case len(keys) == 0:
		return m.outcomes
	case ctx.Err() != nil:
		err := contextError(ctx)
		for i := range m.outcomes {
			m.outcomes[i].Err = err
		}
		return m.outcomes
	}
	began := now()
	m.from = callOf(ctx)
	m.impatient = m.from.withoutPatience()
	m.findEqualKeys()
	m.joinOrStartAll()
	waits, joined := m.waits > 0 && !m.from.low(), m.joined()
	if m.from.flight != nil && !c.cfg.unlinked {
		m.waitNested()
	} else {
		m.start()
		m.wait()
	}
	m.notifyJoined(joined)
	if waits {
		m.shardOf(m.states[0].hash).timings.observeWait(now().since(began))
	}
	for i := range m.states {
		m.outcomes[i] = m.outcomes[m.states[i].first]
	}
	return m.outcomes
}

// A manyCall is a call of DoMany.
type manyCall[K comparable, V any] struct {
	courier *Courier[K, V]
	ctx     context.Context //nolint:containedctx // for as long as the call
	from    call
	keys    []K
	fetch   func(context.Context, []K) ([]Outcome[V], error)

	impatient call // from, for keys that ContextWithPatienceFor leaves out

	states     []keyState[K, V] // of the keys
	waits      int              // states with a flight
	outcomes   []Outcome[V]     // of the keys
	batches    []*batch[K, V]   // the calls of fetch; new passengers belong to the last one
	needsBatch bool             // a key needs a batch

	admitted, crowded bool // the result of Courier.admit: true, false

	timer        *time.Timer // of the caller's patience
	gaveUp       error       // the error of the caller's context, when the caller waits no longer
	pastDeadline bool        // the caller's deadline has passed
}

// A keyState holds the state of a key of DoMany.
type keyState[K comparable, V any] struct {
	hash   uint64
	flight *flight[K, V] // that the caller waits for; nil: the outcome is known
	first  int           // the index of the first key that equals this one
	joined bool
	why    OverloadReason
}

// shardOf returns the shard of the keys with that hash.
func (m *manyCall[K, V]) shardOf(hash uint64) *shard[K, V] {
	t := m.courier.table.Load()
	return &t.shards[hash&uint64(len(t.shards)-1)]
}

// findEqualKeys hashes the keys, before anything else happens: a key that holds an
// uncomparable value panics. It uses a table of its own, since a map of keys would
// hash them once more.
func (m *manyCall[K, V]) findEqualKeys() {
	m.states = make([]keyState[K, V], len(m.keys))
	size := 2
	for size < 2*len(m.keys) {
		size *= 2
	}
	table := make([]int32, size) // the index of a key, plus 1
	for i, key := range m.keys {
		state := &m.states[i]
		state.first = i
		owns := equalsItself(key)
		if _, state.hash = m.courier.shardOf(key, owns); !owns {
			continue
		}
		at := int(state.hash>>20) & (size - 1)
		for ; table[at] != 0; at = (at + 1) & (size - 1) {
			if j := int(table[at]) - 1; m.states[j].hash == state.hash && m.keys[j] == key {
				state.first = j
				break
			}
		}
		if table[at] == 0 {
			table[at] = int32(i) + 1 //nolint:gosec // more keys than that have no room
		}
	}
}

// joinOrStartAll does what Courier.flightFor does, for all keys.
func (m *manyCall[K, V]) joinOrStartAll() {
	stuck := 0
	for i := range m.states {
		if m.states[i].first == i && m.joinOrStart(i) {
			stuck++
		}
	}
	// As in retryStuck: some functions that seem to be stuck may be about to end.
	for try := 0; try < 4 && stuck > 0; try++ {
		runtime.Gosched()
		if b := m.last(); b != nil && b.inAll == refused {
			b.asked = false
		}
		stuck = 0
		for i := range m.states {
			if why := m.states[i].why; (why == KeyStuck || why == Stuck) && m.joinOrStart(i) {
				stuck++
			}
		}
	}
	for i := range m.states {
		state := &m.states[i]
		if state.why != 0 {
			s := m.shardOf(state.hash)
			s.mu.Lock()
			s.stats.Overloads++
			s.mu.Unlock()
			m.courier.logRefusal(m.keys[i], uint32(state.hash>>32), state.why)
			m.outcomes[i].Err = &OverloadedError{Key: m.keys[i], Reason: state.why}
		}
	}
}

// joinOrStart joins the flight of one key or makes it, and reports whether functions seem to be
// stuck.
func (m *manyCall[K, V]) joinOrStart(i int) (stuck bool) {
	key, state := m.keys[i], &m.states[i]
	owns := equalsItself(key)
	s := m.shardOf(state.hash)
	from := m.fromOf(i)
	if err := s.checkCycle(from, state.hash, key, owns); err != nil {
		state.why, m.outcomes[i].Err = 0, err
		return false
	}
	s.mu.Lock()
	m.needsBatch = false
	f, joined, why, err := s.joinOrStart(m.ctx, from, m, state.hash, key, owns, nil)
	if m.needsBatch { // a batch is large: it is not made with the lock
		s.mu.Unlock()
		room := len(m.keys) - m.waits
		if most := m.courier.cfg.maxBatch; most > 0 {
			room = min(room, most)
		}
		m.batches = append(m.batches, newBatch(m, room))
		s.mu.Lock()
		f, joined, why, err = s.joinOrStart(m.ctx, from, m, state.hash, key, owns, nil)
	}
	s.mu.Unlock()
	state.why = why
	m.outcomes[i].Err = err
	if err == nil && f != nil {
		state.flight, state.joined = f, joined
		m.waits++
	}
	return why == KeyStuck || why == Stuck
}

// fromOf returns the terms on which the caller waits for a key.
func (m *manyCall[K, V]) fromOf(i int) call {
	if t := m.from.terms; t != nil && t.patientFor != nil && !t.patientFor(i) {
		return m.impatient
	}
	return m.from
}

// last returns the batch of new passengers, or nil.
func (m *manyCall[K, V]) last() *batch[K, V] {
	if len(m.batches) == 0 {
		return nil
	}
	return m.batches[len(m.batches)-1]
}

// lacksBatch reports whether m needs a batch before it can go on. It does not if it is nil.
func (m *manyCall[K, V]) lacksBatch() bool {
	if m == nil {
		return false
	}
	b := m.last()
	m.needsBatch = b == nil || len(b.passengers) == cap(b.passengers)
	return m.needsBatch
}

// newPassenger makes the flight of a key. s.mu is held.
func (m *manyCall[K, V]) newPassenger(
	s *shard[K, V], hash uint64, key K, owns bool,
) *flight[K, V] {
	return m.last().newPassenger(s, hash, key, owns, m.from.low())
}

// admit counts the caller, for the first of its keys that needs to wait, and reports whether it may
// wait.
func (m *manyCall[K, V]) admit() bool {
	if !m.admitted && !m.crowded {
		m.admitted = m.courier.admit(m.from.low())
		m.crowded = !m.admitted
	}
	return m.admitted
}

// mayStart reports whether the function of the last batch may start, despite the functions that are
// stuck in all.
func (m *manyCall[K, V]) mayStart() bool {
	b := m.last()
	if !b.asked {
		b.asked = true
		b.inAll = m.courier.stuck.mayStart(m.courier.cfg.abandonedInAll())
	}
	return b.inAll != refused
}

// start starts the functions.
func (m *manyCall[K, V]) start() {
	for _, b := range m.batches {
		if len(b.passengers) > 0 {
			b.start()
		}
	}
}

// waitNested calls start and wait for a call made inside a flight: see Courier.waitNested.
func (m *manyCall[K, V]) waitNested() {
	parent := m.from.flight
	edges := make([]edge, 0, m.waits)
	joined := make([]int, 0, m.waits) // the indexes of their keys
	for i := range m.states {
		if f := m.states[i].flight; f != nil && m.states[i].joined {
			edges = append(edges, edge{to: f})
			joined = append(joined, i)
		}
	}
	for _, b := range m.batches { // one edge for all keys of a batch
		if len(b.passengers) > 0 {
			edges = append(edges, edge{to: &b.carrier})
		}
	}
	for i := range edges {
		parent.edges().add(&edges[i])
	}
	// A flight that has not begun waits for nothing: only joined ones can close a cycle.
	seen := make(map[node]bool)
	for at, i := range joined {
		//nolint:gocritic // the seldom case
		if cycle := breakCycle(parent, &edges[at], seen); cycle != nil {
			edges[at].to = nil
			f := m.states[i].flight
			f.shard.deadlocked()
			m.leave(i, false, cycle)
			m.outcomes[i] = Outcome[V]{Shared: true, Err: cycle}
		}
	}
	if m.waits == 0 {
		m.start()
		m.wait()
		return
	}
	parent.lend()
	defer parent.reclaim()
	defer func() {
		for i := range edges {
			if edges[i].to != nil {
				parent.edges().remove(&edges[i])
			}
		}
	}()
	m.start()
	m.wait()
}

// wait blocks until all flights have ended, or the caller waits no longer. It reads them in order
// and not as they end, since the caller needs all.
func (m *manyCall[K, V]) wait() {
	if m.admitted {
		defer m.courier.dismiss(m.from.low())
	}
	if m.waits == 0 {
		return
	}
	if !m.from.low() {
		m.courier.many.Add(1)
		defer m.courier.many.Add(-1)
	}
	if m.from.patient() { // their keys first, whose patience may end
		m.waitFor(true)
	}
	m.waitFor(false)
	if m.timer != nil {
		m.timer.Stop()
	}
}

// waitFor waits for the keys for which the caller has patience, or for those for which it has none.
func (m *manyCall[K, V]) waitFor(patient bool) {
	var last *batch[K, V] // the batch of the call that was waited for last
	var lastErr error     // the result of that wait
	for i := range m.states {
		state := &m.states[i]
		f := state.flight
		switch {
		case f == nil || m.fromOf(i).patient() != patient:
		case state.joined:
			m.leave(i, patient, m.waitUntil(f.Done(), f.started, patient))
		default:
			if f.batch != last {
				last = f.batch
				lastErr = m.waitUntil(last.unloaded, last.carrier.started, patient)
			}
			m.leave(i, patient, lastErr)
		}
	}
}

// waitUntil blocks until over is closed, the channel of a flight that has started at that instant.
// If the caller waits no longer, it returns the reason.
func (m *manyCall[K, V]) waitUntil(over <-chan struct{}, started instant, patient bool) error {
	select {
	case <-over:
		return nil
	default:
	}
	if m.gaveUp != nil {
		return m.gaveUp
	}
	var late <-chan time.Time
	if patient && m.from.terms.patience > 0 {
		rest := m.from.terms.patience - now().since(started)
		if m.timer == nil {
			m.timer = time.NewTimer(rest)
		} else {
			m.timer.Reset(rest)
		}
		late = m.timer.C
	}
	select {
	case <-over:
		return nil
	case <-m.ctx.Done():
		m.pastDeadline = errors.Is(m.ctx.Err(), context.DeadlineExceeded)
		m.gaveUp = contextError(m.ctx)
		return m.gaveUp
	case <-late:
		return ErrLate
	}
}

// leave ends the caller's wait for a key's flight, and sets the key's outcome: to err, the reason
// why the caller waits no longer; or to that of the flight, if err is nil or the flight has ended
// nevertheless.
func (m *manyCall[K, V]) leave(i int, patient bool, err error) {
	state, o := &m.states[i], &m.outcomes[i]
	f := state.flight
	state.flight = nil
	m.waits--
	letDown := errors.Is(err, ErrLate) || err != nil && m.pastDeadline
	w := leaver{low: m.from.low(), many: true, late: letDown, goesOn: letDown && patient}
	if err != nil && f.removeWaiter(w) {
		o.Shared, o.Err = f.wasJoined(), err
		return
	}
	o.Value, o.Shared, o.Err = f.read()
}
