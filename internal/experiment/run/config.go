package run

import (
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/workload"
)

// Config is one run.
type Config struct {
	Keys   *workload.Space // a fresh one: a trace is replayed from where the space is
	Mix    workload.Mix
	Seed   uint64
	Cache  cache.Options[uint64, []byte]
	Origin origin.Config

	// Batch is how many keys a read asks for with one Cache.FetchMany. 0 means 1: it is one
	// Cache.Fetch then. Writes and deletes are of one key in any case.
	Batch int

	Workers int     // goroutines that run operations
	Rate    float64 // operations per second; 0 is a closed loop

	// Duration is how long the measured part takes, at most: it ends before if
	// the keys do. The origin's fault window counts from its start.
	Duration time.Duration
	// Until ends the operations before Duration; what the process looks like is
	// recorded until Duration. 0 means Duration.
	Until time.Duration
	// Warmup is how long the run goes on before the measured part.
	Warmup time.Duration
	// Timeout is the deadline of each read. It counts from when the read begins.
	Timeout time.Duration

	// SampleHits times one read in SampleHits, if it turns out to be a hit; see
	// the package's comment. 0 means 1: all. In an open loop all are timed.
	SampleHits int

	// Spin is for how long before an operation is due a worker waits for it
	// awake, yielding to all others: a sleeping program wakes up to a
	// millisecond late. 0 in a test with a false clock.
	Spin time.Duration

	// Requests is how many keys there are to come, for Progress.Fraction; 0
	// means that time decides.
	Requests uint64
	// Observe is called several times a second, from the goroutine that called
	// Run. Nil means nobody looks.
	Observe func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Fraction   float64
	Warming    bool
	Finishing  bool // no operation begins any more; the last ones are awaited
	Operations uint64
	PerSecond  float64 // since the last Progress
	HitRatio   float64 // of keys, since the start; NaN before the first read
}

func (c *Config) validate() error {
	bad := func(field string, value any, want string) error {
		return fmt.Errorf("load: Config.%s: must be %s, got %v", field, want, value)
	}
	switch {
	case c.Keys == nil:
		return bad("Keys", "nil", "given")
	case c.Batch < 0:
		return bad("Batch", c.Batch, "0 (one key) or more")
	case c.Workers < 1:
		return bad("Workers", c.Workers, "at least 1")
	case !(c.Rate >= 0): // also refuses NaN
		return bad("Rate", c.Rate, "0 (closed loop) or more")
	case c.Duration <= 0:
		return bad("Duration", c.Duration, "above 0")
	case c.Until < 0 || c.Until > c.Duration:
		return bad("Until", c.Until, fmt.Sprintf("from 0 to Duration (%v)", c.Duration))
	case c.Warmup < 0:
		return bad("Warmup", c.Warmup, "0 or more")
	case c.Timeout <= 0:
		return bad("Timeout", c.Timeout, "above 0")
	case c.SampleHits < 0:
		return bad("SampleHits", c.SampleHits, "0 (all) or more")
	}
	return c.Mix.Validate()
}
