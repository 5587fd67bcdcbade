package scenario

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/workload"
)

// A Scenario is one run, or several that differ in one number. The README in testdata/scenarios
// says what each field means.
type Scenario struct {
	Name        string        `yaml:"name"`
	Description string        `yaml:"description"`
	Kind        Kind          `yaml:"kind"`
	Seed        uint64        `yaml:"seed"`
	Duration    time.Duration `yaml:"duration"`
	Events      Events        `yaml:"events"`
	Keys        Keys          `yaml:"keys"`
	Mix         Mix           `yaml:"mix"`
	Value       Value         `yaml:"value"`
	Cache       Cache         `yaml:"cache"`
	Origin      Origin        `yaml:"origin"`
	Fault       Fault         `yaml:"fault"`
	Expect      Expect        `yaml:"expect"`

	source *source // where it was read from; nil if it was made in a program
}

// Events is the service in miniature that the load comes from.
type Events struct {
	Rate    float64       `yaml:"rate"`    // events per second; 0 is a closed loop
	Until   time.Duration `yaml:"until"`   // when the events stop; 0 is at the end of the run
	Workers int           `yaml:"workers"` // the bounded worker pool
	Queue   int           `yaml:"queue"`   // the bounded queue before it
	Timeout time.Duration `yaml:"timeout"` // a caller's own deadline for one fetch
	Batch   int           `yaml:"batch"`   // keys that a read asks for at once
}

// Keys is which keys the events ask for.
type Keys struct {
	Kind       workload.KeyKind `yaml:"kind"`
	Count      uint64           `yaml:"count"`
	Skew       float64          `yaml:"skew"`
	ScanShare  float64          `yaml:"scan_share"`
	ScanLength uint64           `yaml:"scan_length"`
	Scramble   bool             `yaml:"scramble"`
	Trace      string           `yaml:"trace"` // see [Scenario.TracePath]
}

// Mix is the weights of the operations.
type Mix struct {
	Read   uint32 `yaml:"read"`
	Write  uint32 `yaml:"write"`
	Delete uint32 `yaml:"delete"`
}

// Value is how big values are.
type Value struct {
	Size workload.Size `yaml:"size"`
}

// Cache is the options of the cache under test.
type Cache struct {
	Capacity      int           `yaml:"capacity"`
	TTL           time.Duration `yaml:"ttl"`
	Jitter        float64       `yaml:"jitter"`
	FetchTimeout  time.Duration `yaml:"fetch_timeout"`
	MaxConcurrent int           `yaml:"max_concurrent"`
	MaxAbandoned  int           `yaml:"max_abandoned"` // per key; 0 is the courier's default

	MaxWaitingPerKey int `yaml:"max_waiting_per_key"` // callers; 0 is no limit

	StaleFor    time.Duration `yaml:"stale_for"`    // 0 is never
	SoftTimeout time.Duration `yaml:"soft_timeout"` // 0 is until the load ends
	RefreshAt   float64       `yaml:"refresh_at"`   // a share of the ttl; 0 is never
}

// Origin is what the backend is like.
type Origin struct {
	Latency     workload.Latency `yaml:"latency"`
	Concurrency int              `yaml:"concurrency"`
}

// Fault is what goes wrong, of which keys, and when.
type Fault struct {
	Kind  origin.FaultKind `yaml:"kind"`
	Keys  int              `yaml:"keys"`
	Share float64          `yaml:"share"`
	Rate  float64          `yaml:"rate"`
	Start time.Duration    `yaml:"start"`
	End   time.Duration    `yaml:"end"`
	Slow  time.Duration    `yaml:"slow"`
}

// Expect is what a run that is checked must show; 0 is not checked.
type Expect struct {
	HealthyDropOff float64       `yaml:"healthy_drop_off"`
	HealthyDropOn  float64       `yaml:"healthy_drop_on"`
	Alike          float64       `yaml:"alike"`
	LearnWithin    time.Duration `yaml:"learn_within"`
}

// Default returns the scenario that an empty file would be: a healthy service,
// with nothing to expect.
func Default() *Scenario {
	latency, err := workload.LognormalLatency(5*time.Millisecond, 40*time.Millisecond)
	if err != nil {
		panic(err) // the arguments are constants
	}
	size, err := workload.LognormalSize(256, 4096, 0)
	if err != nil {
		panic(err)
	}
	return &Scenario{
		Seed:     1,
		Duration: 8 * time.Second,
		Events:   Events{Rate: 2000, Workers: 32, Queue: 512, Timeout: 2 * time.Second, Batch: 1},
		Keys:     Keys{Kind: workload.KindZipf, Count: 1000, Skew: 1.01},
		Mix:      Mix{Read: 100},
		Value:    Value{Size: size},
		Cache: Cache{
			Capacity: 10_000, TTL: 500 * time.Millisecond, Jitter: 0.1, FetchTimeout: 250 * time.Millisecond,
			SoftTimeout: 50 * time.Millisecond,
		},
		Origin: Origin{Latency: latency},
		Fault: Fault{Kind: origin.FaultNone, Keys: 5, Rate: 1, Start: 2 * time.Second,
			End: 5 * time.Second, Slow: time.Second},
	}
}

// TracePath returns the path of the trace file, empty if there is none. A
// relative path in a scenario file starts at that file's folder; one that was
// given to Set, at the current folder.
func (s *Scenario) TracePath() string {
	path := s.Keys.Trace
	if path == "" || filepath.IsAbs(path) || s.source == nil || s.source.lines["keys.trace"] <= 0 {
		return path
	}
	return filepath.Join(filepath.Dir(s.source.file), path)
}

// SetLaw takes over what spec says of how keys are chosen. A skew that spec
// leaves open stays, and so does the trace: its path is for Set.
func (k *Keys) SetLaw(spec workload.KeySpec) {
	k.Kind, k.ScanShare, k.ScanLength = spec.Kind, spec.ScanShare, spec.ScanLength
	if spec.Skew != 0 {
		k.Skew = spec.Skew
	}
}

// Spec returns the law by which keys are chosen.
func (s *Scenario) Spec() workload.KeySpec {
	k := s.Keys
	spec := workload.KeySpec{Kind: k.Kind}
	switch k.Kind {
	case workload.KindZipf:
		spec.Skew = k.Skew
	case workload.KindZipfScan:
		spec.Skew, spec.ScanShare, spec.ScanLength = k.Skew, k.ScanShare, k.ScanLength
	case workload.KindTrace:
		spec.Path = s.TracePath()
	}
	return spec
}

// NewSpace returns the keys of the run. Trace is the requests of the trace at
// TracePath, nil for other kinds of keys. The trace starts again when it ends if
// loop is set.
func (s *Scenario) NewSpace(trace []uint32, loop bool) (*workload.Space, error) {
	c := workload.SpaceConfig{Keys: s.Spec(), Seed: s.Seed, Trace: trace, Loop: loop}
	if s.Keys.Kind != workload.KindTrace {
		c.Count, c.Scramble = s.Keys.Count, s.Keys.Scramble
	}
	return workload.NewSpace(c)
}

// OriginConfig returns the backend of the run, and the part of all requests
// that are for keys which can fail, 0 without a fault. The caller adds what the
// scenario does not know, such as Go.
func (s *Scenario) OriginConfig(space *workload.Space) (c origin.Config, share float64, err error) {
	c = origin.Config{
		Latency:     s.Origin.Latency,
		Concurrency: s.Origin.Concurrency,
		Size:        s.Value.Size,
		Seed:        s.Seed,
	}
	if s.Fault.Kind == origin.FaultNone {
		return c, 0, nil
	}
	keys, share, err := s.Targets(space)
	if err != nil {
		return c, 0, err
	}
	match, err := origin.OneOf(keys)
	if err != nil {
		return c, 0, err
	}
	f := s.Fault
	c.Fault = origin.Fault{Kind: f.Kind, Match: match, Rate: f.Rate, Start: f.Start, End: f.End,
		Slow: f.Slow}
	return c, share, nil
}

// Targets returns the keys that can fail, and the part of all requests that is for them. The
// error is a *FieldError: a trace may have too few keys.
func (s *Scenario) Targets(space *workload.Space) (keys []uint64, share float64, err error) {
	if n := s.Fault.Keys; n < 1 || uint64(n) > space.Count() {
		return nil, 0, s.FieldError("fault.keys",
			fmt.Sprintf("must be from 1 to %d, which is all keys that there are, got %d", space.Count(), n))
	}
	return space.Targets(s.Fault.Keys, s.Fault.Share)
}

// Operations returns the mix as the workload package draws from it.
func (s *Scenario) Operations() workload.Mix { return workload.Mix(s.Mix) }
