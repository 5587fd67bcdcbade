package cachetest

import "time"

// A script holds what is to happen to the calls of a key, and what has happened.
type script struct {
	next   []Fault
	always *Fault        // nil: the origin's default
	hang   chan struct{} // closed by Release; nil: no call is to hang since the last one
	counts Counts
}

// Counts holds what was counted of the calls of a key, or of all calls. A call of LoadMany counts
// once for each of its keys, and once in all.
type Counts struct {
	Calls   int // that have begun
	Running int // that have not ended
	Peak    int // the maximum of Running
	Hanging int // of Running, those that hang until Release
}

func (c *Counts) begin() {
	c.Calls++
	c.Running++
	c.Peak = max(c.Peak, c.Running)
}

// Next makes the next calls of key do what faults say, one each, after those of earlier calls of
// Next: Next(key, None(), Error(err)) makes the second call from now on fail.
func (o *Origin[K, V]) Next(key K, faults ...Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.script(key)
	s.next = append(s.next, faults...)
}

// Always makes all calls of key do what f says, except for those with a Next. Always(key, None())
// makes the key answer even if the origin is down by Default.
func (o *Origin[K, V]) Always(key K, f Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.script(key).always = &f
}

// Default makes all calls do what f says, except for those with a Next or an Always. It is None
// at first. Default(Error(err)) is an outage, and Default(None()) its end.
func (o *Origin[K, V]) Default(f Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fallback = f
}

// SetLatency makes each call that begins from now on take d before it answers or fails, or until
// its context ends. It is 0 at first. A call of LoadMany takes d in all. SetLatency panics if d is
// negative.
func (o *Origin[K, V]) SetLatency(d time.Duration) {
	checkDuration("SetLatency", d)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latency = d
}

// Release makes the calls of keys that hang go on, or all that hang if there are no keys. That
// includes calls which have begun and would hang after their latency. A call that begins later
// needs another Release.
func (o *Origin[K, V]) Release(keys ...K) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(keys) == 0 {
		for _, s := range o.scripts {
			s.release()
		}
		return
	}
	for _, key := range keys {
		o.script(key).release()
	}
}

// Counts returns what was counted of the calls of key.
func (o *Origin[K, V]) Counts(key K) Counts {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.scripts[key]; s != nil {
		return s.counts
	}
	return Counts{}
}

// Total returns what was counted of all calls.
func (o *Origin[K, V]) Total() Counts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total
}

// script returns the script of key, made if need be. o.mu is held.
func (o *Origin[K, V]) script(key K) *script {
	s := o.scripts[key]
	if s == nil {
		s = &script{}
		o.scripts[key] = s
	}
	return s
}

// begin counts a call of the key, and returns what it does. The origin's mu is held.
func (s *script) begin(fallback Fault) part {
	s.counts.begin()
	f := fallback
	switch {
	case len(s.next) > 0:
		f = s.next[0]
		s.next = s.next[1:]
	case s.always != nil:
		f = *s.always
	}
	p := part{script: s, fault: f.at(s.counts.Calls)}
	if p.fault.kind == hanging {
		if s.hang == nil {
			s.hang = make(chan struct{})
		}
		p.released = s.hang
	}
	return p
}

// release makes the calls of the key that hang, or are to, go on. The origin's mu is held.
func (s *script) release() {
	if s.hang != nil {
		close(s.hang)
		s.hang = nil
	}
}
