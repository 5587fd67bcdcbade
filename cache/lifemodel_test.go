package cache_test

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// A lifeModel models one key of a cache by the documentation: that of Options for the values that
// callers get, and that of package courier for late flights and stuck functions. It shares no code
// with either, has no locks, and processes all events in order of time. Times count from the end of
// the first value's TTL.
type lifeModel struct {
	lifeOptions
	origin func(n int, at time.Duration) lifeCall
	refuse func(at time.Duration) bool // whether too many callers wait

	now     time.Duration
	closed  bool
	value   *lifeValue   // in the cache
	values  []*lifeValue // all, in order
	missing time.Duration
	tagged  time.Duration // the last invalidation of the tag of all values

	flights []*lifeFlight // all that were started
	owner   *lifeFlight   // the one that callers join
	lates   int           // in a row
	lateAt  time.Duration
	backoff time.Duration // its earliest end: callers come before that, or after the latest

	worked    time.Duration // the last time at which a function returned in time
	probe     time.Duration // from when one may try although too many are stuck
	probeRest time.Duration

	callers []*lifeCaller
}

type lifeOptions struct {
	ttl, staleFor, soft, retry, timeout, notFoundTTL, backoff time.Duration
}

// A lifeCall describes one call of the fetch function.
type lifeCall struct {
	takes  time.Duration // never: it hangs
	result string        // "", "error", "not found", "panic" or "goexit"
	deaf   bool          // ignores its context
}

type lifeValue struct {
	v                   int
	stored, fresh, gone time.Duration // when it was stored, is no more fresh, and is gone
	ended               bool          // deleted, replaced and the like, but not evicted
	rest                time.Duration // until when it is given at once
	restWhy             string
}

type lifeFlight struct {
	lifeCall
	n                    int
	start                time.Duration
	replaces             *lifeValue
	storable             bool
	waiters              int
	late, beside, goesOn bool
	replaced             bool
	over                 time.Duration // never: it is under way
	dropped              bool          // the function ended after the flight, or not at all
}

type lifeCaller struct {
	at, within, leave time.Duration // 0: no deadline, is not cancelled

	stale  *lifeValue
	flight *lifeFlight
	lifeResult
	perhaps bool // the cache may have lost the stale value, and return the error
}

type lifeResult struct {
	value int
	stale bool
	why   string // of a stale value or an error
	done  time.Duration
}

// A time that never comes, and one that has passed.
const (
	forever time.Duration = math.MaxInt64
	past                  = -forever
)

func (m *lifeModel) set(v int, ttl time.Duration) {
	m.endAll()
	m.value = &lifeValue{v: v, stored: m.now, fresh: m.now + ttl, gone: m.now + ttl + m.staleFor}
	m.values = append(m.values, m.value)
}

// endAll ends the value in the cache, and those that were evicted from it.
func (m *lifeModel) endAll() {
	for _, v := range m.values {
		v.ended = true
	}
	m.value = nil
	m.missing = past
}

// write does the common part of all writes of the user: loads under way are superseded.
func (m *lifeModel) write() {
	for _, f := range m.flights {
		f.storable = false
	}
	m.backoff = 0
	if f := m.owner; f != nil {
		m.owner = nil
		m.abandonUnwanted(f)
	}
}

func (m *lifeModel) do(op string) {
	switch op {
	case "Set":
		m.write()
		m.set(2, m.ttl)
	case "SetTTL":
		m.write()
		m.set(2, m.ttl/4)
	case "Delete":
		m.write()
		m.endAll()
	case "Clear":
		m.write()
		m.endAll()
		m.lates = 0
	case "InvalidateTag":
		m.endValues()
		m.tagged = m.now
	case "Expire":
		m.write()
		if v := m.value; v != nil && m.now < v.fresh {
			m.endValues()
			if m.staleFor > 0 {
				m.value = &lifeValue{v: v.v, stored: v.stored, fresh: m.now, gone: m.now + m.staleFor}
				m.values = append(m.values, m.value)
			}
		}
		m.missing = past
	case "evict":
		m.value = nil
	case "Close":
		m.closed = true
		for _, f := range m.flights {
			if f.over == forever {
				m.end(f, "closed")
			}
		}
		m.value = nil
		m.missing = past
	}
}

// endValues does the same as endAll, but keeps missing records.
func (m *lifeModel) endValues() {
	missing := m.missing
	m.endAll()
	m.missing = missing
}

// arrive processes a caller that comes now.
func (m *lifeModel) arrive(c *lifeCaller) {
	c.done = forever
	v := m.value
	switch {
	case v != nil && m.now < v.fresh:
		m.give(c, lifeResult{value: v.v})
		return
	case m.now < m.missing:
		m.give(c, lifeResult{why: "not found"})
		return
	}
	if v != nil && m.now < v.gone {
		c.stale = v
		if m.now < v.rest {
			m.giveInstead(c, v.restWhy)
			return
		}
	}
	m.board(c)
}

func (m *lifeModel) board(c *lifeCaller) {
	f := m.owner
	old := f != nil && m.soft > 0 && m.now >= f.start+m.soft
	switch {
	case m.closed:
		m.giveInstead(c, "closed")
		return
	case c.stale != nil && f != nil && (old || f.late || f.beside):
		if old {
			m.cameLate(f)
		}
		if fresh := m.freshBeside(f); fresh != nil {
			fresh.goesOn = true
		} else {
			f.goesOn = true
		}
		m.giveInstead(c, "late")
		return
	case m.refuse(m.now):
		m.fail(c, "overloaded")
		return
	case f != nil:
		if fresh := m.freshBeside(f); fresh != nil {
			f = fresh
		}
	default:
		if m.now < m.backoff {
			m.fail(c, "backoff")
			return
		}
		if f = m.start(); f == nil {
			m.fail(c, "overloaded")
			return
		}
	}
	c.flight = f
	f.waiters++
}

// freshBeside starts a flight in place of f if that is late and the rest is over.
func (m *lifeModel) freshBeside(f *lifeFlight) *lifeFlight {
	if !f.late {
		return nil
	}
	if m.lates > 1 {
		rest := min(time.Second<<(m.lates-2), time.Minute)
		if m.stuck() > 0 || slices.ContainsFunc(m.flights, func(f *lifeFlight) bool {
			return f.replaced && f.over == forever
		}) {
			rest *= 4
		}
		if m.now < m.lateAt+rest {
			return nil
		}
	}
	if m.now < m.backoff {
		return nil
	}
	fresh := m.start()
	if fresh == nil {
		return nil
	}
	fresh.beside = true
	f.replaced = true
	m.abandonUnwanted(f)
	return fresh
}

// start starts a flight, which callers join from now on. It returns nil if too many functions of
// the key are stuck.
func (m *lifeModel) start() *lifeFlight {
	if m.stuck() >= courier.DefaultMaxAbandonedPerKey {
		if m.now < m.probe {
			return nil
		}
		m.probeRest = max(time.Second, min(2*m.probeRest, time.Minute))
		m.probe = m.now + m.probeRest
	}
	for _, f := range m.flights {
		f.storable = false
	}
	n := len(m.flights) + 1
	f := &lifeFlight{
		lifeCall: m.origin(n, m.now), n: n, start: m.now, storable: true, over: forever,
	}
	if v := m.value; v != nil && m.now < v.gone {
		f.replaces = v
	}
	m.flights = append(m.flights, f)
	m.owner = f
	return f
}

// stuck returns the number of functions that outlive their flights, of those since the key last
// worked.
func (m *lifeModel) stuck() (n int) {
	for _, f := range m.flights {
		if f.deaf && f.dropped && f.over > m.worked && f.end() > m.now {
			n++
		}
	}
	return n
}

func (m *lifeModel) cameLate(f *lifeFlight) {
	if f.late {
		return
	}
	f.late = true
	if f == m.owner {
		m.lates++
		m.lateAt = m.now
	}
}

// abandonUnwanted ends f if it has no waiter and does not go on without one.
func (m *lifeModel) abandonUnwanted(f *lifeFlight) {
	//nolint:staticcheck // as one says it
	if f.waiters == 0 && !(f.goesOn && (f == m.owner || f.replaced)) && f.over == forever {
		m.end(f, "deserted")
	}
}

// end ends f, with the result of its function or for another reason.
func (m *lifeModel) end(f *lifeFlight, how string) {
	f.over = m.now
	owns := f == m.owner
	if owns {
		m.owner = nil
	}
	returned := how == f.result && m.now == f.end() // not a time-out and the like
	f.dropped = !returned
	if f.deaf && !returned {
		if m.stuck() == courier.DefaultMaxAbandonedPerKey {
			m.probeRest, m.probe = time.Second, m.now+time.Second
		}
	}
	if returned && !f.replaced && how != "panic" && how != "goexit" {
		m.worked = m.now
	}
	answered := returned && (how == "" || how == "not found")
	switch {
	case answered && owns:
		if !f.late {
			m.lates = 0
		}
		m.backoff = 0
	case owns && m.lifeOptions.backoff > 0 && (returned || how == "timeout"):
		m.backoff = m.now + m.lifeOptions.backoff/2
	}
	switch {
	case answered && !f.storable:
	case answered && how == "not found":
		m.endAll()
		m.missing = m.now + m.notFoundTTL
	case answered && m.tagged < f.start:
		m.set(100+f.n, m.ttl)
	case answered || how == "deserted" || how == "closed":
	case f.replaces != nil:
		f.replaces.rest, f.replaces.restWhy = m.now+m.retry, how
		if how == "panic" || how == "goexit" { // unless a caller gets which, see fail
			f.replaces.restWhy = "died"
		}
	}
	for _, c := range m.callers {
		if c.flight != f || c.done != forever {
			continue
		}
		switch {
		case how == "" && f.start <= m.tagged && m.tagged < c.at:
			m.board(c) // it began before, and the caller came after the invalidation
		case how == "":
			m.give(c, lifeResult{value: 100 + f.n})
		case how == "not found":
			m.give(c, lifeResult{why: how})
		case how == "closed":
			m.giveInstead(c, how)
		default:
			m.fail(c, how)
		}
	}
}

func (f *lifeFlight) end() time.Duration {
	if f.takes == forever {
		return forever
	}
	return f.start + f.takes
}

// fail determines the result of a caller that was refused, or whose load has failed.
func (m *lifeModel) fail(c *lifeCaller, why string) {
	if v := c.stale; v != nil {
		v.rest, v.restWhy = m.now+m.retry, why
	}
	m.giveInstead(c, why)
}

// giveInstead gives c a stale value, if there is one, and the error why if not.
func (m *lifeModel) giveInstead(c *lifeCaller, why string) {
	v := m.value
	if v == nil && c.stale != nil && !c.stale.ended {
		v = c.stale // evicted meanwhile
		c.perhaps = slices.ContainsFunc(m.flights, func(f *lifeFlight) bool {
			return f != c.flight && f.start > c.at
		})
	}
	switch {
	case c.stale == nil || v == nil || m.now >= v.gone:
		m.give(c, lifeResult{why: why})
	case m.now < v.fresh:
		m.give(c, lifeResult{value: v.v})
	default:
		m.give(c, lifeResult{value: v.v, stale: true, why: why})
	}
}

func (m *lifeModel) give(c *lifeCaller, r lifeResult) {
	c.lifeResult = r
	c.done = m.now
}

// leave makes c stop waiting.
func (m *lifeModel) leave(c *lifeCaller, why string) {
	f := c.flight
	f.waiters--
	if why != "canceled" {
		m.cameLate(f)
		f.goesOn = f.goesOn || c.stale != nil
	}
	if why == "canceled" {
		m.give(c, lifeResult{why: why})
	} else {
		m.giveInstead(c, why)
	}
	if why == "late" && c.why == why && !c.lifeResult.stale {
		c.stale, c.done = nil, forever // it has ended: c waits like others
		m.board(c)
	}
	m.abandonUnwanted(f)
}

// play processes all callers and ops in order of time.
func (m *lifeModel) play(callers []*lifeCaller, ops []string, opsAt, until time.Duration) {
	slices.SortFunc(callers, func(a, b *lifeCaller) int { return cmp.Compare(a.at, b.at) })
	for {
		next, event := until, func() {}
		soonest := func(at time.Duration, f func()) {
			if at < next {
				next, event = at, f
			}
		}
		if len(ops) > 0 {
			soonest(opsAt, func() {
				for _, op := range ops {
					m.do(op)
				}
				ops = nil
			})
		}
		if n := len(m.callers); n < len(callers) {
			soonest(callers[n].at, func() {
				m.callers = append(m.callers, callers[n])
				m.arrive(callers[n])
			})
		}
		for _, f := range m.flights {
			if f.over == forever {
				soonest(f.end(), func() { m.end(f, f.result) })
				soonest(f.start+m.timeout, func() { m.end(f, "timeout") })
			}
		}
		for _, c := range m.callers {
			if c.done != forever {
				continue
			}
			if c.stale != nil && m.soft > 0 {
				soonest(c.flight.start+m.soft, func() { m.leave(c, "late") })
			}
			if c.within > 0 {
				soonest(c.at+c.within, func() { m.leave(c, "deadline") })
			}
			if c.leave > 0 {
				soonest(c.at+c.leave, func() { m.leave(c, "canceled") })
			}
		}
		m.now = next
		if next == until {
			return
		}
		event()
	}
}
