package courier

import "time"

// The rest between two tries of a key past its bound (see WithMaxAbandoned)
// doubles from probeRest up to probeRestMax.
const (
	probeRest    = time.Second
	probeRestMax = time.Minute
)

// abandoned is what a courier knows of a key with flights that are over but
// whose goroutines still run. It is guarded by the courier's lock.
type abandoned struct {
	running  int // such flights
	forgiven int // of these, the ones from before the key last worked

	// Past the bound: when a flight may try again, and the rest before that.
	probeAt time.Time
	rest    time.Duration
}

// refuses reports whether a has no room for another flight. If it lets one try
// all the same, the next one has to wait longer. c.mu is held.
func (c *Courier[K, V]) refuses(a *abandoned) bool {
	if a.running-a.forgiven < c.cfg.abandonedPerKey() {
		return false
	}
	now := time.Now()
	if now.Before(a.probeAt) || c.stats.Abandoned >= c.cfg.abandonedInAll()/2 {
		return true
	}
	a.restFrom(now, min(2*a.rest, probeRestMax))
	return false
}

func (a *abandoned) restFrom(now time.Time, rest time.Duration) {
	a.probeAt, a.rest = now.Add(rest), rest
}

// abandon counts an ended flight whose goroutines still run. courier.mu is
// held.
func (f *flight[K, V]) abandon() {
	c := f.courier
	f.counted = true
	c.stats.Abandoned++
	c.stats.AbandonedTotal++
	if !equalsItself(f.key) {
		return
	}
	a := c.stuck[f.key]
	if a == nil {
		a = &abandoned{}
		if c.stuck == nil {
			c.stuck = make(map[K]*abandoned)
		}
		c.stuck[f.key] = a
	}
	a.running++
	if a.running-a.forgiven == c.cfg.abandonedPerKey() {
		a.restFrom(time.Now(), probeRest)
	}
}

// forgive is called when the function has returned and nothing of the flight
// runs any more: its key works, whatever still hangs from before. courier.mu is
// held.
func (f *flight[K, V]) forgive() {
	if len(f.courier.stuck) == 0 || !equalsItself(f.key) {
		return
	}
	if a := f.courier.stuck[f.key]; a != nil {
		a.forgiven = a.running
	}
}

// retire is called when a goroutine of the flight has ended, after running
// was lowered. courier.mu is held.
func (f *flight[K, V]) retire() {
	c := f.courier
	if f.running > 0 {
		return
	}
	c.busy--
	if c.busy == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
	if !f.counted {
		return
	}
	f.counted = false
	c.stats.Abandoned--
	if !equalsItself(f.key) {
		return // it may not even be hashable: {NaN, a slice}
	}
	a := c.stuck[f.key]
	a.running--
	a.forgiven = min(a.forgiven, a.running)
	if a.running == 0 {
		delete(c.stuck, f.key)
	}
}
