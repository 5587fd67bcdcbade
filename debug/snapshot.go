package debug

import "time"

// A Snapshot is one view, and its JSON. New fields may come; the names that are there stay. All
// durations are in seconds. Texts have no control characters and are cut at some length.
type Snapshot struct {
	Time       time.Time   `json:"time"`
	Goroutines int         `json:"goroutines"` // of the process
	Attention  []Attention `json:"attention"`  // of all sources; empty if all is well
	Sources    []*Section  `json:"sources"`
}

// An Attention is something unusual. It is meant for people: its texts may change.
type Attention struct {
	Source string `json:"source"`
	Text   string `json:"text"`
}

// A Section shows one source. It is not changed once it has been made, since views at the same time
// share it.
type Section struct {
	Name      string      `json:"name"` // as it was added
	Kind      string      `json:"kind"` // cache, cluster or courier
	Courier   string      `json:"courier,omitempty"`
	Error     string      `json:"error,omitempty"` // why the rest is missing
	Attention []Attention `json:"attention,omitempty"`

	// Counts are those of cache.Stats, cluster.Stats and courier.Stats since the start, and their
	// present states. PerSecond has by how much they grew in the last WindowSeconds.
	Counts        map[string]uint64  `json:"counts,omitempty"`
	PerSecond     map[string]float64 `json:"per_second,omitempty"`
	WindowSeconds float64            `json:"window_seconds,omitempty"`
	// HitRatio is the share of hits since the start, and RecentHitRatio that in the window. They are
	// missing if there were neither hits nor misses.
	HitRatio       *float64 `json:"hit_ratio,omitempty"`
	RecentHitRatio *float64 `json:"recent_hit_ratio,omitempty"`

	Flights  *Flights   `json:"flights,omitempty"`
	Resting  *Resting   `json:"resting,omitempty"`
	Slowest  []Slow     `json:"slowest,omitempty"` // of the last five minutes
	Loads    []Duration `json:"loads,omitempty"`   // by outcome
	Waits    *Duration  `json:"waits,omitempty"`   // of callers
	Hottest  *Hottest   `json:"hottest,omitempty"`
	Members  []Member   `json:"members,omitempty"`
	Suspects []Suspect  `json:"suspects,omitempty"`

	counts []Count // in order
}

// Flights are the flights under way, and those that are over but whose functions run on.
type Flights struct {
	Total   int            `json:"total"`
	AtLeast bool           `json:"at_least,omitempty"` // there are more than Total: not all were counted
	States  map[string]int `json:"states"`             // queued, running, late, abandoned
	Places  []Place        `json:"places,omitempty"`   // the most common ones, of those with a stack
	Rows    []Flight       `json:"rows"`               // the oldest first
	More    int            `json:"more,omitempty"`     // that have no row
}

// A Place is a line in which flights are.
type Place struct {
	Where         string  `json:"where"`
	Flights       int     `json:"flights"`
	OldestSeconds float64 `json:"oldest_seconds"`
}

// A Flight is a row of Flights: see courier.Flight.
type Flight struct {
	Key        string   `json:"key"`
	AgeSeconds float64  `json:"age_seconds"`
	Waiters    int      `json:"waiters"`
	State      string   `json:"state"`
	WaitsFor   []string `json:"waits_for,omitempty"`
	Label      string   `json:"label,omitempty"` // in goroutine profiles, the label "flight"
	Where      string   `json:"where,omitempty"` // the line in which its function is
	Stack      string   `json:"stack,omitempty"` // of its goroutines; shortened, and of the oldest alone
	NoStack    string   `json:"no_stack,omitempty"`
	Leaked     bool     `json:"leaked,omitempty"` // it can never return: see courier.TimeoutError
}

// Resting are the keys that back off after failures (courier.WithBackoff).
type Resting struct {
	Total int       `json:"total"`
	Rows  []RestRow `json:"rows"` // the one with the most failures first
	More  int       `json:"more,omitempty"`
}

// A RestRow is a key that backs off.
type RestRow struct {
	Key      string    `json:"key"`
	Failures int       `json:"failures"` // in a row
	Error    string    `json:"error"`    // the last one
	Until    time.Time `json:"until"`
}

// A Slow is a load that took long.
type Slow struct {
	Key         string    `json:"key"`
	TookSeconds float64   `json:"took_seconds"`
	End         string    `json:"end"` // how it ended: see courier.FlightEnd
	Ended       time.Time `json:"ended"`
}

// A Duration summarises durations.
type Duration struct {
	End     string   `json:"end,omitempty"` // how these loads ended; see courier.FlightEnd
	Count   uint64   `json:"count"`
	Mean    float64  `json:"mean_seconds"`
	P50     float64  `json:"p50_seconds"`
	P90     float64  `json:"p90_seconds"`
	P99     float64  `json:"p99_seconds"`
	Max     float64  `json:"max_seconds"` // the upper bound of the last bucket
	Buckets []Bucket `json:"buckets"`     // those that are not empty
}

// A Bucket counts the durations from half of its bound to its bound.
type Bucket struct {
	Seconds float64 `json:"le_seconds"`
	Count   uint64  `json:"count"`
}

// Hottest are the keys that were asked for most, as far as a sample of the hits shows: see
// cache.HotKeys. There are none while the sample has fewer than 20 hits.
type Hottest struct {
	Sampled int      `json:"sampled"` // hits in the sample
	Keys    []HotKey `json:"keys"`
}

// A HotKey is a key with its share of the hits in the sample, from 0 to 1.
type HotKey struct {
	Key   string  `json:"key"`
	Share float64 `json:"share"`
}
