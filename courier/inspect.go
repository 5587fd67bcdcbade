package courier

import (
	"iter"
	"time"
)

// An Inspector shows what goes on in a courier. A *Courier is one, and caches have one. The methods
// are safe for concurrent use, and take the locks of the courier's shards one after the other, each
// for a moment.
type Inspector interface {
	// Name returns the courier's name: see WithName.
	Name() string
	// Stats returns the courier's counts.
	Stats() Stats
	// Flights yields the flights under way, and those that are over but whose functions run on.
	Flights() iter.Seq[Flight]
	// Resting yields the keys that back off (WithBackoff).
	Resting() iter.Seq[RestingKey]
	// Slowest returns the slowest flights of the last minutes.
	Slowest() []SlowFlight
	// Timings returns the durations of flights and waits.
	Timings() Timings
	// KeyText returns what may be shown of a key: see WithKeyText. It is empty if key is not of the
	// type of the courier's keys.
	KeyText(key any) string
}

// A Flight describes a flight as it was when it was looked at.
type Flight struct {
	Key     any
	KeyText string        // what may be shown of Key: see WithKeyText
	Age     time.Duration // since its start
	Waiters int           // callers that wait for it
	State   FlightState

	// WaitsFor has the keys of the flights that its function waits for in nested calls, of this
	// courier or others.
	WaitsFor []any
	// WaitsForText has what may be shown of these keys.
	WaitsForText []string

	// Label is the value of the pprof label "flight" of its goroutines. The keys of one call of
	// DoMany have the same one.
	Label string
}

// A FlightState is the state of a flight.
type FlightState uint8

// The states.
const (
	Queued    FlightState = iota + 1 // it waits for its turn (WithMaxConcurrent)
	Running                          // its function runs
	Late                             // it has let a caller down: see the package's comment
	Abandoned                        // it is over, but its function or a linked child runs on
)

// String returns "queued", "running", "late" or "abandoned".
func (s FlightState) String() string {
	switch s {
	case Queued:
		return "queued"
	case Running:
		return "running"
	case Late:
		return "late"
	case Abandoned:
		return "abandoned"
	default:
		return "unknown"
	}
}

// Flights yields the flights under way, and those that are over but whose functions run on, in no
// order. Each key of a DoMany is a flight. The locks of the shards are taken one after the other,
// and none is held while the loop's body runs, which may use the courier.
func (c *Courier[K, V]) Flights() iter.Seq[Flight] {
	return func(yield func(Flight) bool) {
		for s := range c.shards {
			shown, flights := s.show()
			for i, f := range flights {
				// edges have locks of their own, which are not taken together with the shard's
				var edges []node
				if carrier := f.carrier(); carrier != nil {
					edges = carrier.edges().nodes()
				} else {
					edges = f.edges().nodes()
				}
				for _, n := range edges {
					shown[i].WaitsFor = append(shown[i].WaitsFor, n.label())
					shown[i].WaitsForText = append(shown[i].WaitsForText, n.labelText())
				}
				shown[i].KeyText = c.keyText(f.key, f.hash)
				if !yield(shown[i]) {
					return
				}
			}
		}
	}
}

// show returns the shard's flights, but for the texts and WaitsFor.
func (s *shard[K, V]) show() (shown []Flight, flights []*flight[K, V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	show := func(f *flight[K, V]) {
		waiters := int(f.waiters)
		if f.ended { // they have the outcome
			waiters = 0
		}
		shown = append(shown, Flight{
			Key: f.key, Age: at.since(f.started), Waiters: waiters, State: f.state(),
			Label: f.labelID(),
		})
		flights = append(flights, f)
	}
	for f := range s.flights.all {
		show(f)
	}
	for f := range s.detached {
		if !f.isCarrier() { // its passengers stand for it
			show(f)
		}
	}
	for f := range s.abandoned {
		if !f.isCarrier() {
			show(f)
			continue
		}
		for i := range f.batch.passengers {
			p := &f.batch.passengers[i]
			shown = append(shown, Flight{
				Key: p.key, Age: at.since(f.started), State: Abandoned, Label: f.labels.id,
			})
			flights = append(flights, p)
		}
	}
	return shown, flights
}

// state returns the state of f. shard.mu is held.
func (f *flight[K, V]) state() FlightState {
	switch {
	case f.ended:
		return Abandoned
	case f.isLate:
		return Late
	case f.shard.courier.turns != nil && !f.hasBegun():
		return Queued
	default:
		return Running
	}
}

// labelID returns the value of the pprof label of f's goroutines. shard.mu is held.
func (f *flight[K, V]) labelID() string {
	if !f.isPassenger() {
		return f.labels.id
	}
	if labels := f.batch.labels.Load(); labels != nil {
		return labels.id
	}
	return "" // the batch has not been started yet
}

// A RestingKey is a key that backs off after failures (WithBackoff).
type RestingKey struct {
	Key      any
	KeyText  string // see WithKeyText
	Failures int    // in a row
	Err      error  // of the last flight
	Until    time.Time
}

// Resting yields the keys that back off, in no order. No lock is held while the loop's body runs.
func (c *Courier[K, V]) Resting() iter.Seq[RestingKey] {
	return func(yield func(RestingKey) bool) {
		for s := range c.shards {
			s.mu.Lock()
			resting := s.history.resting()
			s.mu.Unlock()
			for _, r := range resting {
				_, hash := c.shardOf(r.key, true)
				if !yield(RestingKey{
					r.key, c.keyText(r.key, uint32(hash>>32)), r.inRow, r.failed.Err, r.failed.Until,
				}) {
					return
				}
			}
		}
	}
}
